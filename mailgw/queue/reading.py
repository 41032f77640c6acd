"""Reading the queue's database: shared by the store and by the command line. Every function blocks."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import BinaryIO

from attrs import frozen
from twisted.logger import Logger

from mailgw.mail.message import MAX_HEADER, BytesContent, Content, FileContent, head_of
from mailgw.queue.codec import DeliveryRow, decode_delivery, decode_message
from mailgw.queue.item import Delivery, DeliveryId, Priority, QueuedMessage
from mailgw.queue.schema import open_reader
from mailgw.queue.store import Entry, QueueSize

DELIVERY = "message_id, number, due, destination, expires, attempts, recipient, last, priority"

_DUE_DELIVERY = ", ".join(f"delivery.{column}" for column in DELIVERY.split(", "))
_SAME = " ON delivery.message_id = waiting.message_id AND delivery.number = waiting.number"
_EntryRow = tuple[str, str, bytes, int | None, bytes, int, bytes]
_ENTRY = (
    f"SELECT id, info, prefix, length(content), substr(content, 1, {MAX_HEADER}), size, head"
    " FROM messages LEFT JOIN content_files ON message_id = id"
)

_log = Logger()


@frozen
class RowContent(FileContent):
    """Content in a row that a listing leaves in the database; `path` is the queue's directory."""

    message_id: str = ""

    def open(self) -> BinaryIO:
        """Raises FileNotFoundError when the message has left the queue."""
        connection = open_reader(Path(self.path))
        try:
            row = connection.execute("SELECT content FROM messages WHERE id = ?", (self.message_id,)).fetchone()
        finally:
            connection.close()
        if row is None:
            raise FileNotFoundError(f"{self.message_id} is no longer in the queue")
        return io.BytesIO(row[0])


def read_due(
    connection: sqlite3.Connection,
    before: float,
    limit: int,
    skip: Collection[DeliveryId],
    since: float,
    destination: str | None,
    without: Collection[str],
    priority: Priority | None,
) -> list[Delivery]:
    """As QueueStore.due. A row that cannot be read is logged and passed over: it must not stop the others."""
    # First the index alone (CROSS JOIN: in this order): SQLite would read each delivery before it looks at the
    # destination, and pass over a long backlog twenty times slower.
    query = f"SELECT {_DUE_DELIVERY} FROM deliveries AS waiting CROSS JOIN deliveries AS delivery{_SAME}"
    query += " WHERE waiting.due BETWEEN ? AND ?"
    values: list[float | str] = [since, before]
    if priority is not None:
        query += " AND waiting.priority = ?"
        values.append(priority.value)
    if destination is not None:
        query += " AND waiting.destination = ?"
        values.append(destination)
    if without:
        query += " AND waiting.destination NOT IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(list(without)))
    found: list[Delivery] = []
    cursor = connection.execute(query + " ORDER BY waiting.due", values)
    try:
        for row in cursor:
            if (row[0], row[1]) in skip:
                continue
            delivery = read_delivery(row)
            if delivery is not None:
                found.append(delivery)
            if len(found) >= limit:
                break
    finally:
        cursor.close()  # ends the read transaction: an open one keeps the log from being used again
    return found


def read_next_due(connection: sqlite3.Connection, after: float, priority: Priority | None) -> float | None:
    query = "SELECT min(due) FROM deliveries WHERE due > ?"
    values: list[float] = [after]
    if priority is not None:
        query += " AND priority = ?"
        values.append(priority.value)
    due: float | None
    (due,) = connection.execute(query, values).fetchone()
    return due


def read_message(
    connection: sqlite3.Connection, content_path: Callable[[str], Path], message_id: str
) -> QueuedMessage | None:
    row = connection.execute(
        "SELECT info, prefix, content, size, head FROM messages LEFT JOIN content_files ON message_id = id"
        " WHERE id = ?",
        (message_id,),
    ).fetchone()
    if row is None:
        return None
    info, prefix, data, size, head = row
    content: Content
    if data is not None:
        content, head = BytesContent(data), head_of(data)
    else:
        content = FileContent(str(content_path(message_id)), size)
    return decode_message(message_id, info, prefix, content, head)


def read_standing(
    connection: sqlite3.Connection, content_path: Callable[[str], Path], deliveries: Sequence[Delivery]
) -> Entry | None:
    """As QueueStore.standing."""
    message_id = deliveries[0].message_id
    ways: dict[int, str] = dict(
        connection.execute("SELECT number, destination FROM deliveries WHERE message_id = ?", (message_id,)).fetchall()
    )
    still = tuple(delivery for delivery in deliveries if ways.get(delivery.number) == str(delivery.destination))
    message = read_message(connection, content_path, message_id) if still else None
    return None if message is None else Entry(message, still)


def read_entries(
    connection: sqlite3.Connection, directory: Path, content_path: Callable[[str], Path], limit: int, after: str
) -> list[Entry]:
    """As QueueStore.entries. Heads are read, contents are not."""
    connection.execute("BEGIN")  # one view of the queue: a message that leaves it meanwhile is here whole
    try:
        rows = connection.execute(f"{_ENTRY} WHERE id > ? ORDER BY id LIMIT ?", (after, limit)).fetchall()
        deliveries = [read_deliveries(connection, row[0]) for row in rows]
    finally:
        connection.execute("COMMIT")
    return [_entry(directory, content_path, row, ways) for row, ways in zip(rows, deliveries, strict=True)]


def read_entry(
    connection: sqlite3.Connection, directory: Path, content_path: Callable[[str], Path], message_id: str
) -> Entry | None:
    """One of them, or None when it is not in the queue."""
    connection.execute("BEGIN")
    try:
        row = connection.execute(f"{_ENTRY} WHERE id = ?", (message_id,)).fetchone()
        deliveries = read_deliveries(connection, message_id)
    finally:
        connection.execute("COMMIT")
    return None if row is None else _entry(directory, content_path, row, deliveries)


def _entry(
    directory: Path, content_path: Callable[[str], Path], row: _EntryRow, deliveries: tuple[Delivery, ...]
) -> Entry:
    message_id, info, prefix, inline_size, start, size, head = row
    content: Content
    if inline_size is not None:
        content, head = RowContent(str(directory), inline_size, message_id), head_of(start)
    else:
        content = FileContent(str(content_path(message_id)), size)
    return Entry(decode_message(message_id, info, prefix, content, head), deliveries)


def read_deliveries(connection: sqlite3.Connection, message_id: str) -> tuple[Delivery, ...]:
    rows = connection.execute(
        f"SELECT {DELIVERY} FROM deliveries WHERE message_id = ? ORDER BY number", (message_id,)
    ).fetchall()
    return tuple(decode_delivery(row) for row in rows)


def read_size(connection: sqlite3.Connection) -> QueueSize:
    return QueueSize(
        connection.execute("SELECT count(*) FROM messages").fetchone()[0],
        connection.execute("SELECT count(*) FROM deliveries").fetchone()[0],
    )


def read_content_files(connection: sqlite3.Connection) -> Sequence[str]:
    return [message_id for (message_id,) in connection.execute("SELECT message_id FROM content_files")]


def read_delivery(row: DeliveryRow) -> Delivery | None:
    """Decode; None, with a line in the log, for a row that cannot be read."""
    try:
        return decode_delivery(row)
    except (ValueError, TypeError, IndexError) as error:
        _log.error(
            "delivery {number} of {transaction} cannot be read from the queue: {reason}",
            event="unreadable_delivery",
            transaction=row[0],
            number=row[1],
            reason=str(error),
        )
        return None
