"""State in memory, and what is seen and reported in tests."""

from __future__ import annotations

import sqlite3
from typing import Any, TypeVar

from mailgw.mail.dmarc import DmarcEvaluation, PublishedPolicy
from mailgw.mail.evidence import AuthResult
from mailgw.mail.reply import TemporaryFailure
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Action, Verdict
from mailgw.reports.aggregate import DkimSeen, Record, SpfSeen
from mailgw.reports.tables import MIGRATIONS
from mailgw.state.database import Work, transact
from tests.filters.support import make_transaction

T = TypeVar("T")

PUBLISHED = PublishedPolicy("sender.example", "reject", "reject", "reject", rua=("mailto:dmarc@sender.example",))
RECORD = Record(
    "192.0.2.1",
    1,
    "pass",
    "pass",
    "fail",
    "sender.example",
    "bounce.example",
    dkim_seen=(DkimSeen("sender.example", "s1", "pass"),),
    spf_seen=(SpfSeen("bounce.example", "softfail", "mfrom"),),
)


class MemoryDatabase:
    """Does the work of a state.database.Database at once, in memory; with `broken` set, none of it."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for script in MIGRATIONS:
            self.connection.executescript(script)
        self.broken = False

    async def read(self, work: Work[T]) -> T:
        if self.broken:
            raise TemporaryFailure("the disk is gone")
        return work(self.connection)

    async def write(self, work: Work[T]) -> T:
        if self.broken:
            raise TemporaryFailure("the disk is gone")
        (result,) = transact(self.connection, [work])
        return result  # type: ignore[no-any-return]

    def note(self, work: Work[object]) -> None:
        transact(self.connection, [work])


def evaluation(result: str = "fail", policy: str = "reject", **changes: Any) -> DmarcEvaluation:
    """What DMARC found of sender.example, whose policy is `policy`."""
    published = changes.pop("published", PublishedPolicy("sender.example", policy, policy, policy, rua=PUBLISHED.rua))
    facts: dict[str, Any] = {"dkim": result == "pass", "spf": False, **changes}
    return DmarcEvaluation("sender.example", published, result, policy, **facts)


def seen(*evaluations: DmarcEvaluation, auth: tuple[AuthResult, ...] = (), **changes: Any) -> Transaction:
    """A message that they were found of."""
    transaction = make_transaction(**changes)
    transaction.dmarc.extend(evaluations)
    transaction.auth.extend(auth)
    return transaction


def verdict(action: Action) -> Verdict:
    return Verdict(action, 0.0, (), "for a test")
