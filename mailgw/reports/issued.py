"""Which reports have gone out: a row a source, day and subject, so that each goes once, whoever sends it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Literal

from attrs import frozen

# Whoever claimed a report and died is forgotten after this. It may have been put into the queue just before: then it
# goes twice, under the same Report-ID.
_CLAIM = 3600.0

State = Literal["claimed", "sent", "nobody", "failed"]


@frozen
class Key:
    """Whose report, of which kind, on which day."""

    source: str
    day: int
    subject: str


@frozen
class Issued:
    """`detail` says what it was, or why nobody got it."""

    source: str
    day: int
    subject: str
    state: State
    at: float
    detail: str

    @property
    def is_silent(self) -> bool:
        """Whether it only says that nobody asked: of TLS that is most domains, and only their DNS tells."""
        return self.state == "nobody" and not self.detail


def claim(connection: sqlite3.Connection, key: Key, now: float) -> bool:
    """Take it on; False when another has."""
    cursor = connection.execute(
        "INSERT INTO issued (source, day, subject, state, at) VALUES (?, ?, ?, 'claimed', ?)"
        " ON CONFLICT (source, day, subject) DO UPDATE SET at = excluded.at WHERE state = 'claimed' AND at < ?",
        (key.source, key.day, key.subject, now, now - _CLAIM),
    )
    return cursor.rowcount > 0


def settle(connection: sqlite3.Connection, key: Key, state: State, now: float, detail: str) -> None:
    """Say what became of it, for good."""
    connection.execute(
        "UPDATE issued SET state = ?, at = ?, detail = ? WHERE source = ? AND day = ? AND subject = ?",
        (state, now, detail, key.source, key.day, key.subject),
    )


def release(connection: sqlite3.Connection, key: Key) -> None:
    """Leave it to whoever comes next."""
    connection.execute(
        "DELETE FROM issued WHERE source = ? AND day = ? AND subject = ?", (key.source, key.day, key.subject)
    )


def unsettled(
    connection: sqlite3.Connection, source: str, day: int, subjects: Iterable[str], now: float
) -> tuple[list[str], int]:
    """Give the subjects that nobody has taken on, and how many reports of the day have been sent."""
    rows = connection.execute(
        "SELECT subject, state, at FROM issued WHERE source = ? AND day = ?", (source, day)
    ).fetchall()
    taken = {subject for subject, state, at in rows if state != "claimed" or at >= now - _CLAIM}
    return [s for s in subjects if s not in taken], sum(state == "sent" for _, state, _ in rows)


def list_issued(connection: sqlite3.Connection, since: int) -> list[Issued]:
    """Give those of the day `since` and later, the newest first."""
    rows = connection.execute(
        "SELECT source, day, subject, state, at, detail FROM issued WHERE day >= ? ORDER BY day DESC, source, subject",
        (since,),
    )
    return [Issued(*row) for row in rows]


def forget(connection: sqlite3.Connection, before: int, silent_before: int) -> None:
    """Drop what is older than the day `before`; what only says that nobody asked, than `silent_before`."""
    connection.execute("DELETE FROM issued WHERE day < ?", (before,))
    connection.execute("DELETE FROM issued WHERE day < ? AND state = 'nobody' AND detail = ''", (silent_before,))
