"""What is forwarded outside, and what is not: whoever forwards spam is taken for its sender."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from mailgw.mail.dmarc import DmarcEvaluation
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import Delivery, Destination
from mailgw.queue.quarantine import hold

AGENT = "forward"
UNFORWARDABLE = "unforwardable"
"""The agent that fails at once, so that the sender hears why."""


def for_outside(
    deliveries: Iterable[Delivery], verdict: Verdict, dmarc: Sequence[DmarcEvaluation], hold_until: float
) -> tuple[Delivery, ...]:
    """Give the deliveries with those that would go to the outside changed where they must not.

    Spam is held in quarantine until `hold_until` (wall clock): nobody else has a folder for it. Where the author's
    domain asks for a refusal of what fails DMARC, and only SPF proves it, the next hop would refuse it from us.
    """
    strict = any(one.policy in ("reject", "quarantine") and not one.dkim and not one.exception for one in dmarc)
    return tuple(_changed(delivery, verdict, strict, hold_until) for delivery in deliveries)


def _changed(delivery: Delivery, verdict: Verdict, strict: bool, hold_until: float) -> Delivery:
    if delivery.destination.agent != AGENT:
        return delivery
    if verdict.action == "spam":
        return evolve(hold(delivery, hold_until), last="spam is not forwarded to the outside")
    if strict:
        return evolve(delivery, destination=Destination(UNFORWARDABLE, delivery.destination.target))
    return delivery
