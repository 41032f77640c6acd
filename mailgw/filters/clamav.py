"""ClamAV: asks clamd whether the message carries malware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from attrs import frozen

from mailgw.config.schema.setting import setting
from mailgw.engines import clamd
from mailgw.engines.connection import Connection
from mailgw.engines.content import Pieces, send_content
from mailgw.engines.stream import read
from mailgw.filters.engine_settings import ADDRESSES, EngineSettings
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import Threads


@frozen
class ClamavSettings(EngineSettings):
    # A virus must not pass because somebody has brought clamd down.
    on_error: Literal["ignore", "defer"] = setting(
        "When it is down or takes too long: `ignore` lets mail pass unscanned, `defer` answers 451.", "defer"
    )
    addresses: tuple[str, ...] = setting(ADDRESSES, ("unix:/run/clamav/clamd.ctl",))
    suspicious: tuple[str, ...] = setting(
        "Beginnings of signatures that are a suspicion only: they state CLAMAV_SUSPICIOUS. Names of third parties'"
        " spam signatures belong here.",
        ("Heuristics.", "PUA."),
    )


class Clamav:
    """States CLAMAV_VIRUS with the signature that clamd finds. Only a hard rule refuses for it alone, as is wanted:
    `CLAMAV_VIRUS = "reject"` under [rules]."""

    name: ClassVar[str] = "clamav"
    # A virus weighs less than the reject threshold: that nobody gets it at all is what the rule is for.
    symbols: ClassVar[Mapping[str, float]] = {
        "CLAMAV_VIRUS": 14.0,
        "CLAMAV_SUSPICIOUS": 4.0,
        "CLAMAV_TOO_LARGE": 0.0,
    }

    def __init__(self, settings: ClamavSettings, reactor: Any, threads: Threads) -> None:
        self.settings = settings
        self._threads = threads
        self._engine = settings.make_engine(self.name, reactor)

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        if message is None:
            return []
        if message.size > self.settings.max_size:
            return [
                Evidence("CLAMAV_TOO_LARGE", f"{message.size} octets are not scanned, only {self.settings.max_size}")
            ]

        async def dialogue(connection: Connection) -> clamd.Scan:
            return await self._scan(connection, message)

        scan = await self._engine.ask(dialogue)
        if scan.too_large:
            return [Evidence("CLAMAV_TOO_LARGE", f"{message.size} octets are more than clamd's StreamMaxLength")]
        if not scan.signature:
            return []
        suspicion = scan.signature.startswith(self.settings.suspicious)
        return [Evidence("CLAMAV_SUSPICIOUS" if suspicion else "CLAMAV_VIRUS", scan.signature[:200])]

    async def _scan(self, connection: Connection, message: Message) -> clamd.Scan:
        reader = clamd.ScanReader()
        await send_content(connection, Pieces(message, self._threads), clamd.COMMAND, clamd.frame, clamd.END)
        await read(connection, reader)
        return reader.scan
