"""Whether a user may write under an address: as reverse-path, and in From."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define

from mailgw.config.schema import Submission
from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.message import Message
from mailgw.mail.reply import Reply
from mailgw.routing.interface import Router
from mailgw.routing.ownership import is_own
from mailgw.routing.pattern import Pattern
from mailgw.routing.recipients import Key, mailbox_key
from mailgw.senderauth.author import AuthorError, authors

EVERYBODY = "*"


@define(eq=False)
class SenderPolicy:
    """What [submission] says of senders. Users are named as they logged in."""

    router: Router
    enforced: bool
    grants: Mapping[Key, Pattern]
    """What a user may send as beside the own addresses."""
    common: Pattern
    """What all may."""

    @classmethod
    def of(cls, settings: Submission, router: Router, separators: str = "") -> SenderPolicy:
        """Take it from a configuration that was checked; `separators` are those of [routing]."""
        patterns = {user: Pattern.parse(grant.addresses, separators) for user, grant in settings.send_as.items()}
        common = patterns.pop(EVERYBODY, Pattern())
        grants = {mailbox_key(Mailbox.parse(user)): pattern for user, pattern in patterns.items()}
        return cls(router, settings.check_senders, grants, common)

    def become(self, other: SenderPolicy) -> None:
        """Decide as another does, from now on: for a configuration that was read again."""
        self.enforced, self.grants, self.common = other.enforced, other.grants, other.common

    def may_send_as(self, user: Mailbox, address: Mailbox) -> bool:
        granted = self.grants.get(mailbox_key(user), self.common)
        return is_own(self.router, user, address) or granted.fits(address) or self.common.fits(address)

    def refuse_reverse_path(self, identity: str, reverse_path: Mailbox | None) -> Reply | None:
        """Give the reply to MAIL, or None where the user may (RFC 6409 6.1). The null one is for all: programs answer
        with it (RFC 8098 3)."""
        if not identity or not self.enforced or reverse_path is None:
            return None
        return self._refuse(identity, reverse_path)

    def refuse_author(self, identity: str, message: Message) -> Reply | None:
        """Give the reply to the message, or None where the user may write under each address in its From.

        A message without From pretends nothing, and comes from scanners. One whose From can be read in two ways does.
        """
        if not identity or not self.enforced or not message.get_all("From"):
            return None
        try:
            found = authors(message)
        except AuthorError as error:
            return Reply(550, "5.7.1", (f"Whose message it is cannot be told: {error}",))
        return next((refusal for address in found if (refusal := self._refuse(identity, address))), None)

    def _refuse(self, identity: str, address: Mailbox) -> Reply | None:
        try:
            if self.may_send_as(Mailbox.parse(identity), address):
                return None
        except AddressError:
            pass  # who is no address owns none
        return Reply(
            550, "5.7.1", (f"<{address}> is not yours: send as <{identity}>, or ask the postmaster for leave",)
        )
