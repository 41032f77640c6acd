"""Transactions and filters for the tests of filters and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mailgw.filters.base import FilterSettings
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client, Transaction

GOOD = (
    b"From: Ann <ann@example.net>\r\nTo: bob@example.org\r\nSubject: Lunch\r\n"
    b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nAt noon?\r\n"
)
NOW = 1793613600.0
"""2026-11-02 10:00:00 UTC, the date of GOOD."""


def make_transaction(data: bytes = GOOD, **changes: Any) -> Transaction:
    """A transaction with a message. `changes` are keys of Client and of Envelope, or `message`."""
    client: dict[str, Any] = {"session_id": "S1", "service": "mx", "address": "192.0.2.1", "helo": "mail.example.net"}
    envelope: dict[str, Any] = {
        "reverse_path": Mailbox("ann", "example.net"),
        "recipients": (Recipient(Mailbox("bob", "example.org")),),
    }
    message = changes.pop("message", None) or Message.from_bytes(data)
    for key, value in changes.items():
        (client if key in Client.__annotations__ else envelope)[key] = value
    return Transaction("T1", Client(**client), Envelope(**envelope), message)


class StubFilter:
    """A filter that states what it is given, or raises it, or awaits it first."""

    symbols: Mapping[str, float] = {"STUB": 1.0}

    def __init__(
        self,
        name: str = "stub",
        evidence: Iterable[Evidence] = (),
        *,
        error: Exception | None = None,
        wait: Any = None,
        settings: FilterSettings | None = None,
    ) -> None:
        self.name = name
        self.evidence = evidence
        self.error = error
        self.wait = wait
        self.settings = settings or FilterSettings()
        self.calls = 0

    async def check(self, transaction: Transaction) -> Iterable[Evidence]:
        self.calls += 1
        if self.wait is not None:
            await self.wait
        if self.error is not None:
            raise self.error
        return self.evidence
