"""Recipients of whom nobody here knows whether they exist: what their client is told."""

from __future__ import annotations

from attrs import frozen

from mailgw.mail.address import Mailbox
from mailgw.mail.reply import Reply
from mailgw.routing.interface import RecipientVerifier, Routed


@frozen
class Refusal:
    """The reply to RCPT, and the reason for the log."""

    reply: Reply
    reason: str


async def verify(mailbox: Mailbox, routed: Routed, verifier: RecipientVerifier) -> Refusal | None:
    """Find out about a recipient that is `undecided`; None when it is good.

    What the next hop said is for the log: its words may be about us, or name hosts that are no stranger's business.
    """
    if routed.undecided == "list":
        return Refusal(_later(mailbox), "the list of recipients is not there yet")
    verification = await verifier.verify(routed.targets[0])
    if verification.known:
        return None
    if verification.known is None:
        return Refusal(_later(mailbox), verification.reason)
    status = verification.status
    if status.startswith("5.1."):
        return Refusal(unknown(mailbox), verification.reason)
    return Refusal(Reply(550, status, (f"<{mailbox}> cannot take mail",)), verification.reason)


def unknown(mailbox: Mailbox) -> Reply:
    return Reply(550, "5.1.1", (f"<{mailbox}> is unknown here: please check the address",))


def _later(mailbox: Mailbox) -> Reply:
    # RFC 3463 3.5: X.4.3 is a directory server that fails. Never permanent: the mailbox may well exist.
    return Reply(451, "4.4.3", (f"<{mailbox}> cannot be verified now, please try again later",))
