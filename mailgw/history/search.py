"""Finding messages in the history: synchronous, for the command line, while the gateway runs or not."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import frozen

from mailgw.history.kept import Facts, unpack
from mailgw.history.tables import FILE, MIGRATIONS
from mailgw.state.database import StateUnusable, connect

_COLUMNS = (
    "id, time, service, client, sender, author, recipients, subject, message_id, size, action, score, reply, parent"
)
_PAGE = 500


@frozen
class Row:
    """A message as lists show it. `parent` is the message that a report is about; `score` is None without verdict."""

    id: str
    time: float
    service: str
    client: str
    sender: str
    author: str
    recipients: str
    subject: str
    message_id: str
    size: int
    action: str
    score: float | None
    reply: str
    parent: str


@frozen
class Fate:
    """What became of a copy: `message` is its id in the queue."""

    message: str
    time: float
    event: str
    recipient: str
    destination: str
    remote: str
    detail: str
    attempts: int


@frozen
class Wanted:
    """What to look for; empty: anything. Texts are found anywhere in the field, in any case; with `*` in them they are
    the whole field, `*` standing for anything."""

    sender: str = ""
    recipient: str = ""
    subject: str = ""
    message_id: str = ""
    client: str = ""
    action: str = ""
    since: float | None = None
    until: float | None = None


class HistorySearch:
    """Reads the history below a state directory. Raises StateUnusable, with words for the user."""

    def __init__(self, state_directory: Path | str) -> None:
        path = Path(state_directory) / FILE
        if not path.exists():
            raise StateUnusable(f"{path} is not there: has the gateway run with this state_directory and [history]?")
        try:
            self._connection = connect(path, MIGRATIONS, read_only=True)
        except sqlite3.Error as error:
            raise StateUnusable(f"cannot read {path}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def find(self, wanted: Wanted, limit: int) -> list[Row]:
        """Give the newest messages, the newest first."""
        where, values = _conditions(wanted)
        query = f"SELECT {_COLUMNS} FROM messages WHERE {where} ORDER BY time DESC LIMIT ?"
        return [Row(*row) for row in self._connection.execute(query, (*values, limit))]

    def message(self, message_id: str) -> Row | None:
        """Give a message by its transaction's id, or by that of one of its copies."""
        found = self._connection.execute("SELECT original FROM copies WHERE id = ?", (message_id,)).fetchone()
        query = f"SELECT {_COLUMNS} FROM messages WHERE id = ?"
        row = self._connection.execute(query, (found[0] if found else message_id,)).fetchone()
        return None if row is None else Row(*row)

    def facts(self, message_id: str) -> Facts | None:
        row = self._connection.execute("SELECT facts FROM details WHERE id = ?", (message_id,)).fetchone()
        return None if row is None else _facts(row[0])

    def fates(self, message_id: str) -> list[Fate]:
        """Give what became of all copies of a message, in the order of time."""
        rows = self._connection.execute(
            "SELECT * FROM fates WHERE message = ?1 OR message IN (SELECT id FROM copies WHERE original = ?1)"
            " ORDER BY time",
            (message_id,),
        )
        return [Fate(*row) for row in rows]

    def reports(self, message_id: str) -> list[Row]:
        """Give the reports about a message."""
        query = (
            f"SELECT {_COLUMNS} FROM messages WHERE parent <> '' AND (parent = ?1 OR parent IN"
            " (SELECT id FROM copies WHERE original = ?1)) AND time >= (SELECT time FROM messages WHERE id = ?1)"
        )
        return [Row(*row) for row in self._connection.execute(query, (message_id,))]

    def count(self, since: float) -> int:
        count: int
        (count,) = self._connection.execute("SELECT count(*) FROM messages WHERE time >= ?", (since,)).fetchone()
        return count

    def since(self, since: float) -> Iterator[tuple[Row, Facts | None]]:
        """Give all messages from then on, the oldest first, with what is known of them."""
        after = (since, "")
        columns = ", ".join(f"m.{name}" for name in _COLUMNS.split(", "))
        while True:
            rows = self._connection.execute(
                f"SELECT {columns}, d.facts FROM messages m LEFT JOIN details d ON d.id = m.id"
                " WHERE (m.time, m.id) > (?, ?) ORDER BY m.time, m.id LIMIT ?",
                (*after, _PAGE),
            ).fetchall()
            for *row, facts in rows:
                yield Row(*row), None if facts is None else _facts(facts)
            if len(rows) < _PAGE:
                return
            after = (rows[-1][1], rows[-1][0])


def _facts(data: bytes) -> Facts | None:
    try:
        return unpack(data)
    except (ValueError, TypeError, IndexError, KeyError, zlib.error):
        return None  # of a later version, or spoilt: the rest of the history is of use all the same


def _conditions(wanted: Wanted) -> tuple[str, Sequence[Any]]:
    conditions = ["1"]
    values: list[Any] = []
    for columns, text in (
        (("sender", "author"), wanted.sender),
        (("recipients",), wanted.recipient),
        (("subject",), wanted.subject),
        (("message_id",), wanted.message_id),
        (("client",), wanted.client),
    ):
        if text:
            # Recipients are divided by spaces: a pattern is one of them.
            whole = " || ' '" if columns == ("recipients",) else ""
            either = [f"(' ' || {column}{whole}) LIKE ? ESCAPE '\\'" for column in columns]
            conditions.append(f"({' OR '.join(either)})")
            values += [_pattern(text, columns == ("recipients",))] * len(columns)
    if wanted.action:
        conditions.append("action = ?")
        values.append(wanted.action)
    for comparison, time in ((">=", wanted.since), ("<", wanted.until)):
        if time is not None:
            conditions.append(f"time {comparison} ?")
            values.append(time)
    return " AND ".join(conditions), values


def _pattern(text: str, among_others: bool) -> str:
    quoted = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if "*" not in text:
        return f"%{quoted}%"
    quoted = quoted.replace("*", "%")
    return f"% {quoted} %" if among_others else f" {quoted}"
