"""What we saw of each domain: counted by day, domain and outcome while mail comes in, read when the day is over."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection
from functools import partial
from typing import ClassVar

import attrs
import cattrs
from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.mail.address import Mailbox
from mailgw.mail.dmarc import PublishedPolicy
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Verdict
from mailgw.reports.aggregate import Record
from mailgw.reports.disposition import make_record
from mailgw.reports.facts import facts_of, record_of
from mailgw.reports.tables import DAY
from mailgw.state.database import Database

MAX_DOMAINS = 20_000
"""Policy domains of a day: who can make up names in DNS can make up any number of them."""


# Such a message comes again, and is counted then.
_AGAIN = ("defer", "greylist")


@frozen
class Observed:
    """All that was seen of a domain on a day: its policy as it was seen last, and the records."""

    published: PublishedPolicy
    records: tuple[Record, ...]
    truncated: bool = False
    """Whether there was more than is kept of one domain."""


class Observer:
    """Counts messages (a reception.acceptance.Observer).

    Not those of our own users and hosts, those that will come again, and those to `excepted`, the addresses of our
    reports: a report about a report would be answered by another. A domain has `max_records` records a day.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        database: Database,
        is_own: Callable[[str], bool],
        excepted: Collection[Mailbox],
        max_records: int,
        clock: IReactorTime,
    ) -> None:
        self._database = database
        self._is_own = is_own
        self._excepted = frozenset(excepted)
        self._max_records = max_records
        self._clock = clock

    def __call__(self, transaction: Transaction, verdict: Verdict) -> None:
        client = transaction.client
        if not transaction.dmarc or verdict.action in _AGAIN or client.identity or self._is_own(client.address):
            return
        recipients = {recipient.forward_path for recipient in transaction.envelope.recipients}
        if recipients <= self._excepted:
            return
        day = int(self._clock.seconds()) // DAY
        for evaluation in transaction.dmarc:
            record = make_record(evaluation, transaction, verdict.action)
            published = evaluation.published
            self._database.note(partial(count, day=day, published=published, record=record, most=self._max_records))


def count(connection: sqlite3.Connection, day: int, published: PublishedPolicy, record: Record, most: int) -> None:
    """Count one message. What is over the bounds is not counted, but for what is there already."""
    domain, facts = published.domain, facts_of(record)
    cursor = connection.execute(
        "UPDATE observed SET count = count + 1 WHERE day = ? AND domain = ? AND facts = ?", (day, domain, facts)
    )
    if not cursor.rowcount:
        known = connection.execute(
            "SELECT 1 FROM observed_policy WHERE day = ? AND domain = ?", (day, domain)
        ).fetchone()
        if not known and _number(connection, "observed_policy WHERE day = ?", day) >= MAX_DOMAINS:
            return
        # One row more than is reported tells that there were more.
        if _number(connection, "observed WHERE day = ? AND domain = ?", day, domain) <= most:
            connection.execute("INSERT INTO observed VALUES (?, ?, ?, 1)", (day, domain, facts))
    connection.execute(
        "INSERT INTO observed_policy VALUES (?, ?, ?)"
        " ON CONFLICT (day, domain) DO UPDATE SET published = excluded.published WHERE published != excluded.published",
        (day, domain, json.dumps(attrs.asdict(published), sort_keys=True)),
    )


def domains(connection: sqlite3.Connection, day: int) -> list[tuple[PublishedPolicy, int]]:
    """Give the policies that were seen on a day, by domain, and how many messages there were of each."""
    rows = connection.execute(
        "SELECT published, (SELECT total(count) FROM observed o WHERE o.day = p.day AND o.domain = p.domain)"
        " FROM observed_policy p WHERE day = ? ORDER BY domain",
        (day,),
    )
    return [(_published(text), int(messages)) for text, messages in rows]


def observed(connection: sqlite3.Connection, day: int, domain: str, most: int) -> Observed | None:
    """Give what was seen of a domain, the most frequent first. None when nothing was."""
    row = connection.execute(
        "SELECT published FROM observed_policy WHERE day = ? AND domain = ?", (day, domain)
    ).fetchone()
    if row is None:
        return None
    rows = connection.execute(
        "SELECT facts, count FROM observed WHERE day = ? AND domain = ? ORDER BY count DESC, facts LIMIT ?",
        (day, domain, most + 1),
    ).fetchall()
    records = tuple(record_of(facts, number) for facts, number in rows[:most])
    return Observed(_published(row[0]), records, truncated=len(rows) > most) if records else None


def forget(connection: sqlite3.Connection, before: int) -> None:
    """Drop what is older than the day `before`."""
    connection.execute("DELETE FROM observed WHERE day < ?", (before,))
    connection.execute("DELETE FROM observed_policy WHERE day < ?", (before,))


def _number(connection: sqlite3.Connection, rows: str, *values: object) -> int:
    number: int
    (number,) = connection.execute(f"SELECT count(*) FROM {rows}", values).fetchone()
    return number


def _published(text: str) -> PublishedPolicy:
    return cattrs.structure(json.loads(text), PublishedPolicy)
