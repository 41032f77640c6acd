"""SpamAssassin: asks a running spamd for its judgement."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, ClassVar

from attrs import frozen

from mailgw.config.schema.setting import setting
from mailgw.engines import spamc
from mailgw.engines.connection import Connection
from mailgw.engines.content import Pieces, send_content
from mailgw.engines.facts import Facts
from mailgw.engines.foreign import Judgement
from mailgw.engines.stream import read
from mailgw.filters.engine_score import FULL, evidence_of
from mailgw.filters.engine_settings import ADDRESSES, EngineSettings
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import Threads


@frozen
class SpamassassinSettings(EngineSettings):
    addresses: tuple[str, ...] = setting(ADDRESSES, ("127.0.0.1:783",))
    # spamc's own limit: larger spam is rare, and spamd takes seconds for it.
    max_size: int = setting("Octets of a message; a larger one is not sent, and a symbol says so.", 512000)
    full: float = setting(FULL, 10.0)
    user: str = setting("Whose preferences and Bayes database count in spamd. Empty: those of spamd's own user.", "")

    def findings(self) -> Any:
        yield from super().findings()
        if not self.user.isprintable():
            yield "user", "has a control character"


class Spamassassin:
    """States SPAMASSASSIN_SPAM, or SPAMASSASSIN_HAM for a negative score, with the rules that weighed most there."""

    name: ClassVar[str] = "spamassassin"
    # Below the spam threshold: it does not decide alone.
    symbols: ClassVar[Mapping[str, float]] = {
        "SPAMASSASSIN_SPAM": 5.0,
        "SPAMASSASSIN_HAM": -1.0,
        "SPAMASSASSIN_TOO_LARGE": 0.0,
    }

    def __init__(self, settings: SpamassassinSettings, reactor: Any, threads: Threads, hostname: str) -> None:
        """`hostname` is ours, as it stands in the Received field that is sent before the message."""
        self.settings = settings
        self._clock = reactor
        self._threads = threads
        self._hostname = hostname
        self._engine = settings.make_engine(self.name, reactor)

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        if message is None:
            return []
        if message.size > self.settings.max_size:
            detail = f"{message.size} octets are not sent, only {self.settings.max_size}"
            return [Evidence("SPAMASSASSIN_TOO_LARGE", detail)]
        fields = spamc.received(Facts.of(transaction, self._hostname), formatdate(self._clock.seconds()))

        async def dialogue(connection: Connection) -> Judgement:
            return await self._judge(connection, message, fields)

        return evidence_of(await self._engine.ask(dialogue), "SPAMASSASSIN", self.settings.full)

    async def _judge(self, connection: Connection, message: Message, fields: bytes) -> Judgement:
        head = spamc.request(len(fields) + message.size, self.settings.user) + fields
        await send_content(connection, Pieces(message, self._threads), head)
        connection.finish()  # spamd reads lines: for a last one without an end it waits, whatever Content-length says
        reader = spamc.ReportReader()
        await read(connection, reader)
        return reader.judgement
