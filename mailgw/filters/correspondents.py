"""Correspondents: those whom our people write to, and replies to what they wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.config.schema.setting import setting
from mailgw.filters.base import FilterSettings
from mailgw.filters.correspondence import MESSAGE_ID, Correspondence
from mailgw.filters.identities import domain_of, find_author, is_proven
from mailgw.filters.text import show
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction

MAX_REFERENCES = 20
"""Message-IDs of References that are looked for, from the newest; In-Reply-To goes first."""


@frozen
class CorrespondentsSettings(FilterSettings):
    remembered: float = setting(
        "Seconds for which somebody is a correspondent since our people last wrote.", 15552000.0
    )
    replies: float = setting("Seconds within which a reply to our mail is known as one.", 2592000.0)


class Correspondents:
    """States that our people write to the author, where that address is proven to be the author's, and that the message
    answers mail of theirs. Both count much, and such mail is not refused for its score alone."""

    name: ClassVar[str] = "correspondents"
    symbols: ClassVar[Mapping[str, float]] = {"KNOWN_CORRESPONDENT": -4.0, "REPLY_TO_OUR_MAIL": -4.0}

    def __init__(self, settings: CorrespondentsSettings, correspondence: Correspondence, clock: IReactorTime) -> None:
        self.settings = settings
        self._correspondence = correspondence
        self._clock = clock

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        if message is None or transaction.client.identity:
            return []
        author = find_author(message).mailbox
        if author is None or not domain_of(author):
            return []
        # Anybody may write a known address into From; nobody guesses a Message-ID of ours.
        proven = is_proven(domain_of(author), transaction)
        references = find_references(message)
        if not proven and not references:
            return []
        now = self._clock.seconds()
        recipients = [recipient.forward_path for recipient in transaction.envelope.recipients]
        since = (now - self.settings.remembered, now - self.settings.replies)
        known = await self._correspondence.look_up(author, recipients, references, since)
        evidence = []
        if proven and known.to_recipient:
            evidence.append(Evidence("KNOWN_CORRESPONDENT", f"the recipient has written to {show(str(author))}"))
        elif proven and known.to_others:
            detail = f"somebody here has written to {show(str(author))}"
            evidence.append(Evidence("KNOWN_CORRESPONDENT", detail, strength=0.5))
        if known.reply:
            evidence.append(Evidence("REPLY_TO_OUR_MAIL", f"it answers a message that went to {domain_of(author)}"))
        return evidence


def find_references(message: Message) -> list[str]:
    """Give the Message-IDs of In-Reply-To, and of References from the newest (RFC 5322 3.6.4)."""
    found: dict[str, None] = {}
    for name in ("In-Reply-To", "References"):
        field = message.get(name)
        if field is not None:
            found |= dict.fromkeys(reversed(MESSAGE_ID.findall(field.text[-8192:])))
    return list(found)[:MAX_REFERENCES]
