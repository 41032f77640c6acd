"""Connection: what the session saw of the client's manners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mailgw.filters.base import FilterSettings
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import SignalKind, Transaction

_SYMBOLS: Mapping[SignalKind, str] = {
    "early_talker": "EARLY_TALKER",
    "pipelining": "PIPELINING_WITHOUT_LEAVE",
}


class Connection:
    """States what programs do that only want to get rid of their mail. Nothing is said of authenticated users."""

    name: ClassVar[str] = "connection"
    symbols: ClassVar[Mapping[str, float]] = {"EARLY_TALKER": 3.0, "PIPELINING_WITHOUT_LEAVE": 2.0}

    def __init__(self, settings: FilterSettings) -> None:
        self.settings = settings

    async def check(self, transaction: Transaction) -> list[Evidence]:
        client = transaction.client
        if client.identity:
            return []
        return [Evidence(_SYMBOLS[signal.kind], signal.detail) for signal in client.signals]
