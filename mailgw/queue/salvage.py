"""Reads what can still be read of a damaged queue, and puts it into another.

SQLite stops where a page is damaged. A row elsewhere is found all the same: its page is reached from above, not from
its neighbour's. So rows are asked for in runs, and where a run fails one by one. What is read is decoded before it is
taken. Below a page that branches everything is lost: there are few of these.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from mailgw.mail.message import BytesContent
from mailgw.queue import reading
from mailgw.queue.codec import decode_message
from mailgw.queue.content import ContentFiles
from mailgw.queue.disk import DirectoryLock, make_directory, sync_directory
from mailgw.queue.schema import DATABASE, open_database, open_reader
from mailgw.queue.store import QueueUnusable

_RUN = 100
_QUERY = (
    "SELECT id, info, prefix, content, size, head FROM messages NOT INDEXED LEFT JOIN content_files ON message_id = id"
    " WHERE messages.rowid BETWEEN ? AND ?"
)
_Row = tuple[Any, ...]


@frozen
class Found:
    """A message as rows, with those of its deliveries that can be read."""

    message: _Row
    deliveries: tuple[dict[str, Any], ...]
    content: Path | None
    """Its content, where that is a file."""


@define
class Losses:
    """What could not be read. Nothing more is known of a row that `rows` counts."""

    rows: int = 0
    """Messages, or gaps between messages: a row that is not there cannot be told from one that cannot be read."""
    messages: list[str] = field(factory=list)
    """Their ids: the row is damaged, the content is gone, or no delivery says where it goes."""

    def __bool__(self) -> bool:
        return bool(self.rows or self.messages)


class Salvage:
    """A damaged queue. Every method raises QueueUnusable, with words for the user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = ContentFiles(directory / "content")
        self.losses = Losses()
        if not (directory / DATABASE).exists():
            raise QueueUnusable(f"{directory} holds no queue: name the folder with its {DATABASE}")
        try:
            self._connection = open_reader(directory)
            self.last = self._last()
        except sqlite3.Error as error:
            raise QueueUnusable(f"nothing of {directory / DATABASE} can be read: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def _last(self) -> int:
        """The number of the last row, as far as it can be told; where it cannot, one that has no row behind it."""
        try:
            (last,) = self._connection.execute("SELECT max(rowid) FROM messages").fetchone()
        except sqlite3.DatabaseError:
            # Each message takes a part of a page, and the numbers of a queue that was never empty go on.
            last = (self._directory / DATABASE).stat().st_size // 256
        return last or 0

    def messages(self) -> Iterator[tuple[int, Found | None]]:
        """Give each message that can be read, and how far it is: up to `last`. None where there is nothing to give."""
        for start in range(1, self.last + 1, _RUN):
            for row in self._rows(start, min(start + _RUN - 1, self.last)):
                found = self._found(row)
                if found is None:
                    self.losses.messages.append(str(row[0]))
                else:
                    yield start, found
            yield min(start + _RUN - 1, self.last), None

    def _rows(self, first: int, last: int) -> list[_Row]:
        try:
            return self._connection.execute(_QUERY, (first, last)).fetchall()
        except sqlite3.DatabaseError:
            if first == last:
                self.losses.rows += 1
                return []
        return [row for number in range(first, last + 1) for row in self._rows(number, number)]

    def _found(self, row: _Row) -> Found | None:
        message_id, info, prefix, content, size, head = row
        try:
            path = None if content is not None else self._files.path(message_id)
            if path is not None and path.stat().st_size != size:
                return None
            decode_message(message_id, info, prefix, BytesContent(b""), head or b"")
            cursor = self._connection.execute("SELECT * FROM deliveries WHERE message_id = ?", (message_id,))
            names = [column[0] for column in cursor.description]
            deliveries = tuple(dict(zip(names, values, strict=True)) for values in cursor.fetchall())
            reading.read_deliveries(self._connection, message_id)
        except (sqlite3.DatabaseError, ValueError, TypeError, IndexError, OSError):
            return None
        return Found(row, deliveries, path) if deliveries else None


class Target:
    """The queue that takes them; it is made when it is not there. Raises QueueUnusable, OSError, sqlite3.Error."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = ContentFiles(directory / "content")
        make_directory(directory)
        make_directory(self._files.directory)
        self._lock = DirectoryLock(directory)
        try:
            self._connection = open_database(directory)
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        self._connection.close()
        self._lock.release()

    def put(self, found: Sequence[Found]) -> int:
        """Put them, all or none; give how many were not there."""
        new = [one for one in found if not self._holds(one.message[0])]
        for one in new:
            if one.content is not None:
                _copy(one.content, self._files.path(one.message[0]))
        sync_directory(self._files.directory)
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for one in new:
                message_id, info, prefix, content, size, head = one.message
                self._connection.execute(
                    "INSERT INTO messages VALUES (?, ?, ?, ?)", (message_id, info, prefix, content)
                )
                if content is None:
                    self._connection.execute("INSERT INTO content_files VALUES (?, ?, ?)", (message_id, size, head))
                for row in one.deliveries:
                    places = ", ".join("?" * len(row))
                    self._connection.execute(
                        f"INSERT INTO deliveries ({', '.join(row)}) VALUES ({places})", tuple(row.values())
                    )
        return len(new)

    def own_as(self, other: Path) -> None:
        """Give all to the owner of another folder: root makes it, the gateway's user is to have it."""
        if os.geteuid() == 0:
            owner = other.stat()
            for path in (self._directory, *self._directory.rglob("*")):
                os.chown(path, owner.st_uid, owner.st_gid)

    def _holds(self, message_id: str) -> bool:
        return self._connection.execute("SELECT 1 FROM messages WHERE id = ?", (message_id,)).fetchone() is not None


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)
    descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
