"""Whether who submits a message is its author."""

from __future__ import annotations

from attrs import frozen

from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.message import Message
from mailgw.reception.sender_policy import SenderPolicy
from mailgw.senderauth.author import AuthorError, authors


@frozen
class Authorship:
    """`domain` is that of From, in A-labels, when the user may write under each address there; else it is empty, and
    `reason` says why, for the log."""

    domain: str
    reason: str = ""


def authorship(message: Message, identity: str, senders: SenderPolicy) -> Authorship:
    """Compare From with the authenticated user `identity`."""
    try:
        user = Mailbox.parse(identity)
        found = authors(message)
    except (AddressError, AuthorError) as error:
        return Authorship("", str(error))
    for address in found:
        if not senders.may_send_as(user, address):
            return Authorship("", f"{address} in From is no address of this user")
    return Authorship(found[0].ascii_domain)
