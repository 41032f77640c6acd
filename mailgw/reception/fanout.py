"""From the recipients that were accepted to deliveries: one for each place that a copy goes to."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import Delivery, Destination, Priority
from mailgw.routing.interface import Routed, Target

_SUCCESS = frozenset({"SUCCESS"})
_NEVER = frozenset({"NEVER"})


def deliveries(
    message_id: str,
    envelope: Envelope,
    routes: Sequence[Routed],
    verdict: Verdict,
    now: float,
    expires: float,
    priority: Priority = Priority.PEOPLE,
) -> tuple[Delivery, ...]:
    """Make the deliveries. `routes` stand in the order of the envelope's recipients; times are wall clock seconds.

    Where an alias leads to several targets and the sender asked for NOTIFY=SUCCESS, one delivery more (`alias:...`)
    makes the report that it was expanded, and no target reports success (RFC 3461 5.2.7.3).
    """
    targets: dict[Target, Recipient] = {}
    expanded = []
    for recipient, routed in zip(envelope.recipients, routes, strict=True):
        following = recipient
        if "SUCCESS" in recipient.notify and len(routed.targets) > 1:
            expanded.append((Destination("alias", str(recipient.forward_path)), recipient))
            # To say nothing would mean that failures are reported (RFC 3461 4.1).
            following = evolve(recipient, notify=recipient.notify - _SUCCESS or _NEVER)
        for target in routed.targets:
            targets.setdefault(target, _towards(following, target))  # one copy where two recipients lead to one
    ways = [(_in_folder(target, verdict), recipient) for target, recipient in targets.items()]
    return tuple(
        Delivery(message_id, number, recipient, destination, now, expires, priority=priority)
        for number, (destination, recipient) in enumerate((*ways, *expanded))
    )


def _towards(recipient: Recipient, target: Target) -> Recipient:
    """The recipient for one target; behind an alias, ORCPT remembers whom the sender wrote to (RFC 3461 5.2.7.2)."""
    if target.mailbox == recipient.forward_path:
        return recipient
    return Recipient(target.mailbox, recipient.orcpt or _typed(recipient.forward_path), recipient.notify)


def _typed(mailbox: Mailbox) -> str:
    """A typed address (RFC 3461 4.2, RFC 6533 3)."""
    return f"{'rfc822' if mailbox.is_ascii else 'utf-8'};{mailbox}"


def _in_folder(target: Target, verdict: Verdict) -> Destination:
    """Choose the folder; a relayed copy has none, and goes with the X-Spam fields."""
    if target.destination.agent != "maildir":
        return target.destination
    return evolve(target.destination, folder="spam" if verdict.action == "spam" else "inbox")
