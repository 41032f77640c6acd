"""Which deliveries a person means, as a condition on the rows of the database."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from attrs import frozen

from mailgw.queue.codec import decode_recipient
from mailgw.queue.quarantine import AGENT
from mailgw.queue.store import QueueSize

# Deliveries read at once.
_PAGE = 1000
_HELD = f"{AGENT}:"
_FEW = 20000
_AMONG = "destination IN (SELECT value FROM json_each(?))"
# What is not the same characters in a pattern and in a row, but for their case: LIKE takes anything for it.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9.+=:/ <>-]+")
# One step in the index for each destination, not for each delivery.
_DESTINATIONS = """
WITH RECURSIVE found (name) AS (
    SELECT min(destination) FROM deliveries
    UNION ALL
    SELECT (SELECT min(destination) FROM deliveries WHERE destination > name) FROM found WHERE name IS NOT NULL
) SELECT name FROM found WHERE name IS NOT NULL
"""


@frozen
class Selection:
    """Which deliveries. Patterns are for the whole text, with `*` and `?`, in any case; empty ones select all."""

    ids: frozenset[str] = frozenset()
    sender: str = ""
    """The reverse-path, `<>` for none, or the user who submitted it."""
    recipient: str = ""
    destination: str = ""
    """As in the log: `relay:mx:example.org`, `relay:route:smart`, `maildir:alice@example.org/inbox`. What is held has
    the one where it would go, too."""
    destinations: frozenset[str] | None = None
    """Only these, not patterns."""
    reason: str = ""
    """For what the last attempt said."""
    since: float | None = None
    until: float | None = None
    """When it was received, wall clock; `until` itself is not in it."""
    held: bool | None = None
    """Only what is in quarantine, or only what is not."""
    agents: frozenset[str] = frozenset()
    """Only what these agents deliver."""

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out, but for `held` and `agents`."""
        return self == Selection(held=self.held, agents=self.agents)


@frozen
class Condition:
    """Says in SQL which rows of `deliveries` are selected."""

    names: frozenset[str] | None
    """The destinations; None: `terms` say all."""
    terms: str
    """What else is asked of them, with the values."""
    its_values: tuple[str | float, ...]
    index: str = ""
    """What finds the rows; empty: they come in the order of ids."""

    @property
    def source(self) -> str:
        """What stands behind FROM, for `values`."""
        by, bare = (f" INDEXED BY {self.index}", "") if self.index else ("", "+")  # +: SQLite would take the index
        there = "" if self.names is None else f"{bare}{_AMONG} AND "
        return f"deliveries{by} WHERE {there}{self.terms}"

    @property
    def values(self) -> tuple[str | float, ...]:
        return self.its_values if self.names is None else (json.dumps(sorted(self.names)), *self.its_values)


def fits(pattern: str, text: str) -> bool:
    """Whether a pattern is for the text. Brackets are only themselves: they are common in what remotes say, and in
    address literals."""
    return fnmatchcase(text.lower(), pattern.lower().replace("[", "[[]"))


def condition(connection: sqlite3.Connection, selection: Selection) -> Condition:
    """Translate. Destinations are looked up first: there are few, and an index has the deliveries of each together.

    LIKE passes over most of what does not fit; what is left is asked exactly, by `fits`.
    """
    connection.create_function("fits", 2, fits, deterministic=True)
    connection.create_function("fits_recipient", 2, _fits_recipient, deterministic=True)
    terms: list[str] = []
    values: list[str | float] = []

    def add(term: str, *its_values: str | float) -> None:
        terms.append(term)
        values.extend(its_values)

    names: frozenset[str] | None = None
    if selection.ids:
        add("message_id IN (SELECT value FROM json_each(?))", json.dumps(sorted(selection.ids)))
    if selection.destination or selection.held or selection.agents or selection.destinations is not None:
        names = frozenset(name for name in destinations(connection) if _goes_to(selection, name))
    elif selection.held is False:
        add("substr(destination, 1, ?) <> ?", len(_HELD), _HELD)
    if selection.since is not None:
        add("received >= ?", selection.since)
    if selection.until is not None:
        add("received < ?", selection.until)
    if pattern := selection.sender:
        add(
            "(sender LIKE ? AND fits(?, sender) OR identity <> '' AND identity LIKE ? AND fits(?, identity))",
            *(_like(pattern), pattern) * 2,
        )
    if pattern := selection.recipient:
        add("recipient LIKE ? AND fits_recipient(?, recipient)", _like(pattern), pattern)
    if pattern := selection.reason:
        add("last LIKE ? AND fits(?, last)", _like(pattern), pattern)
    # To read single rows for the other terms is worth it for a few.
    by_index = names is not None and not selection.ids and (not terms or _are_few(connection, names))
    return Condition(names, " AND ".join(terms) or "1", tuple(values), "by_destination" if by_index else "")


def _are_few(connection: sqlite3.Connection, names: Collection[str]) -> bool:
    query = f"SELECT 1 FROM deliveries INDEXED BY by_destination WHERE {_AMONG} LIMIT 1 OFFSET {_FEW}"
    return connection.execute(query, (json.dumps(sorted(names)),)).fetchone() is None


def destinations(connection: sqlite3.Connection) -> list[str]:
    """Give all that deliveries wait for, in order."""
    return [name for (name,) in connection.execute(_DESTINATIONS)]


def select_messages(connection: sqlite3.Connection, found: Condition, limit: int) -> Iterator[str]:
    """Give the ids of the first `limit` messages with a delivery that is selected, in their order."""
    after = ""
    while limit > 0:
        # By destination all of it is sorted each time: then the first page is to be enough.
        size = limit if found.index else min(limit, _PAGE)
        rows = connection.execute(
            f"SELECT message_id FROM {found.source} AND message_id > ? ORDER BY message_id LIMIT ?",
            (*found.values, after, size),
        ).fetchall()
        ids = dict.fromkeys(message_id for (message_id,) in rows)
        yield from ids
        if len(rows) < size:
            return
        (after,) = rows[-1]
        limit -= len(ids)


def numbers_of(connection: sqlite3.Connection, found: Condition, message_id: str) -> frozenset[int]:
    """Give the numbers of a message's deliveries that are selected."""
    rows = connection.execute(
        f"SELECT number, destination FROM deliveries WHERE message_id = ? AND {found.terms}",
        (message_id, *found.its_values),
    )
    return frozenset(number for number, name in rows if found.names is None or name in found.names)


def count(connection: sqlite3.Connection, found: Condition) -> QueueSize:
    # DISTINCT would sort one by one what GROUP BY sorts as a whole.
    messages, deliveries = connection.execute(
        f"SELECT count(*), coalesce(sum(those), 0)"
        f" FROM (SELECT count(*) AS those FROM {found.source} GROUP BY message_id)",
        found.values,
    ).fetchone()
    return QueueSize(messages, deliveries)


def _goes_to(selection: Selection, name: str) -> bool:
    is_held = name.startswith(_HELD)
    if selection.held is not None and selection.held != is_held:
        return False
    if selection.agents and name.partition(":")[0] not in selection.agents:
        return False
    if selection.destinations is not None and name not in selection.destinations:
        return False
    pattern = selection.destination
    return not pattern or fits(pattern, name) or (is_held and fits(pattern, name.removeprefix(_HELD)))


def _fits_recipient(pattern: str, recipient: str) -> bool:
    try:
        return fits(pattern, str(decode_recipient(recipient).forward_path))
    except (ValueError, TypeError, IndexError):
        return False  # a row that cannot be read must not stop the command


def _like(pattern: str) -> str:
    return _NOT_PLAIN.sub("%", f"%{pattern}%")
