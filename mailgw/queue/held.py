"""Held mail as the command line sees it: listed, released, deleted, while the gateway runs or not.

It is safe beside a running gateway: SQLite lets one of them write at a time, and the gateway has no held delivery in
memory before its time in quarantine is over; those whose time is (nearly) over are left alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from mailgw.queue import reading
from mailgw.queue.codec import decode_delivery, encode_delivery
from mailgw.queue.content import ContentFiles
from mailgw.queue.item import Delivery
from mailgw.queue.quarantine import AGENT, is_held, release
from mailgw.queue.schema import DATABASE, erase, open_database
from mailgw.queue.store import Entry, QueueUnusable

# Whose time is over so soon may be in the gateway's memory by now.
_TOO_LATE = 60.0
_LOOK_INTERVAL = 1.0
_NUDGE = "changed"


class HeldMail:
    """The quarantine in a queue's directory. Raises QueueUnusable, with words for the user."""

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)
        self._files = ContentFiles(self._directory / "content")
        if not (self._directory / DATABASE).exists():
            raise QueueUnusable(f"{self._directory} holds no queue: has the gateway run with this state_directory?")
        try:
            self._connection = open_database(self._directory)
        except sqlite3.Error as error:
            raise QueueUnusable(f"cannot open the queue in {self._directory}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def entries(self) -> list[Entry]:
        """Give what is held, the oldest first, each with its held deliveries only. Contents are read when asked."""
        query = "SELECT DISTINCT message_id FROM deliveries WHERE destination LIKE ? ORDER BY message_id"
        with self._reading():
            rows = self._connection.execute(query, (f"{AGENT}:%",)).fetchall()
        return [entry for (message_id,) in rows if (entry := self.entry(message_id)) is not None]

    def entry(self, message_id: str) -> Entry | None:
        """Give a message with its held deliveries, or None when none is."""
        with self._reading():
            deliveries = tuple(d for d in reading.read_deliveries(self._connection, message_id) if is_held(d))
            message = reading.read_message(self._connection, self._files.path, message_id) if deliveries else None
        return None if message is None else Entry(message, deliveries)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise QueueUnusable(f"the queue in {self._directory} cannot be read: {error}") from error

    def release(self, message_ids: Collection[str], now: float, lifetime: float) -> list[Delivery]:
        """Let their held deliveries go, all or none of them; give them as they go on. A running gateway sees it within
        a second or so."""

        def change(delivery: Delivery) -> Delivery:
            changed = release(delivery, now, lifetime)
            message_id, number, due, destination, expires, attempts, _, last = encode_delivery(changed)
            self._connection.execute(
                "UPDATE deliveries SET due = ?, destination = ?, expires = ?, attempts = ?, last = ?"
                " WHERE message_id = ? AND number = ?",
                (due, destination, expires, attempts, last, message_id, number),
            )
            return changed

        released = self._change(message_ids, now, change)
        nudge(self._directory)
        return released

    def delete(self, message_ids: Collection[str], now: float) -> list[Delivery]:
        """Throw their held deliveries away, for good; give them."""
        gone: list[str] = []

        def change(delivery: Delivery) -> Delivery:
            self._connection.execute("DELETE FROM deliveries WHERE message_id = ? AND number = ?", delivery.id)
            return delivery

        def finish(message_id: str) -> None:
            left = "SELECT 1 FROM deliveries WHERE message_id = ?1"
            self._connection.execute(f"DELETE FROM messages WHERE id = ?1 AND NOT EXISTS ({left})", (message_id,))
            files = "DELETE FROM content_files WHERE message_id = ?1 AND NOT EXISTS"
            if self._connection.execute(f"{files} ({left})", (message_id,)).rowcount:
                gone.append(message_id)

        deleted = self._change(message_ids, now, change, finish)
        for message_id in gone:  # behind the commit: a crash in between leaves a file, which the next start removes
            self._files.remove(message_id)
        try:
            erase(self._connection)
        except sqlite3.Error:
            pass  # a running gateway does it after its next message; the deletion stands
        return deleted

    def _change(
        self,
        message_ids: Collection[str],
        now: float,
        change: Callable[[Delivery], Delivery],
        finish: Callable[[str], None] = lambda _: None,
    ) -> list[Delivery]:
        changed: list[Delivery] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for message_id in message_ids:
                    changed += [change(delivery) for delivery in self._held(message_id, now)]
                    finish(message_id)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise QueueUnusable(f"the queue in {self._directory} cannot be changed: {error}") from error
        return changed

    def _held(self, message_id: str, now: float) -> Sequence[Delivery]:
        rows = self._connection.execute(
            "SELECT message_id, number, due, destination, expires, attempts, recipient, last FROM deliveries"
            " WHERE message_id = ? AND destination LIKE ? AND due > ?",
            (message_id, f"{AGENT}:%", now + _TOO_LATE),
        ).fetchall()
        return [decode_delivery(row) for row in rows]


class AllHeldMail:
    """The quarantines of the queues of all workers, as one."""

    def __init__(self, directories: Sequence[Path]) -> None:
        """Raises QueueUnusable."""
        self._queues: list[HeldMail] = []
        try:
            for directory in directories:
                self._queues.append(HeldMail(directory))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for queue in self._queues:
            queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def entries(self) -> list[Entry]:
        entries = [entry for queue in self._queues for entry in queue.entries()]
        return sorted(entries, key=lambda entry: entry.message.id)

    def entry(self, message_id: str) -> Entry | None:
        found = (queue.entry(message_id) for queue in self._queues)
        return next((entry for entry in found if entry is not None), None)

    def release(self, message_ids: Collection[str], now: float, lifetime: float) -> list[Delivery]:
        return [delivery for queue in self._queues for delivery in queue.release(message_ids, now, lifetime)]

    def delete(self, message_ids: Collection[str], now: float) -> list[Delivery]:
        return [delivery for queue in self._queues for delivery in queue.delete(message_ids, now)]


def nudge(directory: Path) -> None:
    """Tell a gateway that runs on the queue that something in it is due now."""
    path = directory / _NUDGE
    path.touch()
    os.utime(path)


class NudgeWatch:
    """Calls `look` soon after a `nudge`."""

    def __init__(self, directory: Path, look: Callable[[], None], clock: IReactorTime) -> None:
        self._path = directory / _NUDGE
        self._look = look
        self._loop = LoopingCall(self._check)
        self._loop.clock = clock
        self._seen = 0

    def start(self) -> None:
        self._seen = self._version()
        self._loop.start(_LOOK_INTERVAL, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _check(self) -> None:
        version = self._version()
        if version != self._seen:
            self._seen = version
            self._look()

    def _version(self) -> int:
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            return 0
