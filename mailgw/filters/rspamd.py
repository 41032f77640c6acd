"""Rspamd: asks a running Rspamd for its judgement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import frozen

from mailgw.config.schema.setting import setting
from mailgw.engines.connection import Connection
from mailgw.engines.content import Pieces, send_content
from mailgw.engines.facts import Facts
from mailgw.engines.foreign import Judgement
from mailgw.engines.rspamd import Exchange
from mailgw.engines.stream import read
from mailgw.filters.engine_score import FULL, evidence_of
from mailgw.filters.engine_settings import ADDRESSES, EngineSettings
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import Threads

# Actions that its modules force (a virus, a policy) stand beside the score and not in it.
_LEAST: Mapping[str, float] = {"reject": 1.0, "add header": 0.5, "rewrite subject": 0.5, "quarantine": 0.5}


@frozen
class RspamdSettings(EngineSettings):
    addresses: tuple[str, ...] = setting(ADDRESSES, ("127.0.0.1:11333",))
    full: float = setting(FULL, 12.0)


class Rspamd:
    """States RSPAMD_SPAM, or RSPAMD_HAM for a negative score, with the symbols that weighed most there. What Rspamd
    would do with the message (its action) is shown and not done."""

    name: ClassVar[str] = "rspamd"
    # Below the spam threshold: it does not decide alone.
    symbols: ClassVar[Mapping[str, float]] = {
        "RSPAMD_SPAM": 5.5,
        "RSPAMD_HAM": -1.0,
        "RSPAMD_SOFT_REJECT": 0.0,
        "RSPAMD_TOO_LARGE": 0.0,
    }

    def __init__(self, settings: RspamdSettings, reactor: Any, threads: Threads, hostname: str) -> None:
        """`hostname` is ours, as Rspamd is told it."""
        self.settings = settings
        self._threads = threads
        self._hostname = hostname
        self._engine = settings.make_engine(self.name, reactor)

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        if message is None:
            return []
        if message.size > self.settings.max_size:
            return [Evidence("RSPAMD_TOO_LARGE", f"{message.size} octets are not sent, only {self.settings.max_size}")]
        facts = Facts.of(transaction, self._hostname)

        async def dialogue(connection: Connection) -> Judgement:
            return await self._judge(connection, message, facts)

        judgement = await self._engine.ask(dialogue)
        if judgement.skipped:
            return []
        evidence = evidence_of(judgement, "RSPAMD", self.settings.full, _LEAST.get(judgement.action, 0.0))
        if judgement.action == "soft reject":
            evidence.append(Evidence("RSPAMD_SOFT_REJECT", judgement.message))
        return evidence

    async def _judge(self, connection: Connection, message: Message, facts: Facts) -> Judgement:
        exchange = Exchange()
        head = exchange.request(facts, message.size)
        await send_content(connection, Pieces(message, self._threads), head)
        await read(connection, exchange)
        return exchange.judgement
