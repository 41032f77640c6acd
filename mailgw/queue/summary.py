"""The queue in a few lines: what waits for each destination."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from attrs import frozen

from mailgw.mail.identifiers import new_id
from mailgw.queue.selection import Condition

AGES = (3600.0, 4 * 3600.0, 86400.0)
"""Seconds: what waits for longer than each of them is counted."""


@frozen
class DestinationSummary:
    destination: str
    deliveries: int
    older: tuple[int, ...]
    """How many are older than each of `AGES`."""
    oldest: float
    """When the oldest was received, wall clock."""
    next_due: float
    last: str
    """What was said at the latest attempt."""


def summarise(connection: sqlite3.Connection, found: Condition, now: float) -> list[DestinationSummary]:
    """Give one for each destination, those with the most deliveries first.

    Only the index is read, where the selection is all or goes by destination: ids tell the age.
    """
    is_all = found.names is None and found.terms == "1"
    source = "deliveries INDEXED BY by_destination" if is_all else found.source
    ages = ", ".join("sum(message_id < ?)" for _ in AGES)
    rows = connection.execute(
        f"SELECT destination, count(*), min(due), min(message_id), {ages} FROM {source} GROUP BY destination"
        " ORDER BY count(*) DESC, destination",
        (*(new_id(now - age, b"") for age in AGES), *found.values),
    ).fetchall()
    return [
        DestinationSummary(
            destination, deliveries, tuple(older), _received(connection, first), due, _last(connection, destination)
        )
        for destination, deliveries, due, first, *older in rows
    ]


def combine(summaries: Iterable[DestinationSummary]) -> list[DestinationSummary]:
    """Add up those of several queues."""
    combined: dict[str, DestinationSummary] = {}
    for one in summaries:
        other = combined.setdefault(one.destination, one)
        if other is not one:
            combined[one.destination] = DestinationSummary(
                one.destination,
                one.deliveries + other.deliveries,
                tuple(map(sum, zip(one.older, other.older, strict=True))),
                min(one.oldest, other.oldest),
                min(one.next_due, other.next_due),
                one.last or other.last,
            )
    return sorted(combined.values(), key=lambda one: (-one.deliveries, one.destination))


def _received(connection: sqlite3.Connection, message_id: str) -> float:
    row = connection.execute("SELECT received FROM deliveries WHERE message_id = ? LIMIT 1", (message_id,)).fetchone()
    return 0.0 if row is None else row[0]


def _last(connection: sqlite3.Connection, destination: str) -> str:
    """What was tried last is due last."""
    row = connection.execute(
        "SELECT last FROM deliveries WHERE destination = ? ORDER BY due DESC LIMIT 1", (destination,)
    ).fetchone()
    return "" if row is None else row[0]
