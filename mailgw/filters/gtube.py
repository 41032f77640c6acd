"""GTUBE, the Generic Test for Unsolicited Bulk Email: a message that everybody may send to see the spam folder work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mailgw.filters.base import FilterSettings
from mailgw.filters.text import SCAN_SIZE, beginning
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import BytesContent
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import Threads

# In two pieces, so that a message that quotes this file is none.
STRING = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


class Gtube:
    """States GTUBE when the string stands in the body as it was sent, within the first mebibyte."""

    name: ClassVar[str] = "gtube"
    # Above the spam threshold, below that of reject: the test is to show the folder.
    symbols: ClassVar[Mapping[str, float]] = {"GTUBE": 10.0}

    def __init__(self, settings: FilterSettings, threads: Threads) -> None:
        self.settings = settings
        self._threads = threads

    async def check(self, transaction: Transaction) -> tuple[Evidence, ...]:
        message = transaction.message
        if message is None:
            return ()
        content = message.content
        if isinstance(content, BytesContent):
            data = content.data
        else:
            data = await self._threads.run(beginning, content)
        if data.find(STRING, len(message.head), SCAN_SIZE) < 0:
            return ()
        return (Evidence("GTUBE", "the test string stands in the body"),)
