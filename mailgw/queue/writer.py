"""The one thread that writes the database, and the gathering of what it commits as one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from itertools import chain, islice
from queue import SimpleQueue
from threading import Thread
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads
from twisted.logger import Logger

from mailgw.mail.reply import TemporaryFailure
from mailgw.queue.codec import DeliveryRow, MessageRow, NewDeliveryRow
from mailgw.queue.disk import storage_failure
from mailgw.queue.item import DeliveryId
from mailgw.queue.schema import erase

# Changes in one transaction at most: bounds the time that the first of them waits, and what a retry repeats.
_BATCH = 256
# Nobody waits for a settlement: it waits this long for a message to be committed with. After a crash in that time
# a delivery is made again, as after one between the remote's reply and any commit.
_LINGER = 0.01
_UPDATE = (
    "UPDATE deliveries SET due = ?3, destination = ?4, expires = ?5, attempts = ?6, recipient = ?7, last = ?8,"
    " priority = ?9"
    " WHERE message_id = ?1 AND number = ?2"
)
ERASE_AFTER = 30.0
"""Seconds for which the log may go on to hold messages that are gone."""
# Rows in one statement at most. Each step of SQLite gives up the interpreter's lock and waits to get it back, behind
# a busy reactor thread up to sys.getswitchinterval() (5 ms): so few steps count for more than anything else here.
ROWS = 32


@define
class Change:
    """One call of `put` or `settle`, as rows. All of it is written, or nothing."""

    messages: list[MessageRow] = Factory(list)
    content_files: list[tuple[str, int, bytes]] = Factory(list)
    """message_id, size, head."""
    deliveries: list[NewDeliveryRow] = Factory(list)
    retries: list[DeliveryRow] = Factory(list)
    gone: list[DeliveryId] = Factory(list)
    given_up: list[tuple[str, int, str]] = Factory(list)
    """message_id, number, destination: gone if it still goes there."""
    done: Deferred[None] = Factory(Deferred)


class Writer:
    """Group commit: one transaction is under way at a time, and all that comes meanwhile is the next one.

    What comes within one turn of the reactor is handed over together, at its end.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorFromThreads,
        connection: sqlite3.Connection,
        remove_content: Callable[[str], None],
        erase_after: float = ERASE_AFTER,
    ) -> None:
        """`remove_content` is called in the writer's thread with the id of each message that went with its file.
        `erase_after` is in seconds, from the first message that went."""
        self._reactor: Any = reactor
        self._connection = connection
        self._remove_content = remove_content
        self._erase_after = erase_after
        self._erasing: IDelayedCall | None = None
        self._gathered: list[Change] = []
        self._awaited = False
        self._writing = False
        self._call: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None
        self._batches: SimpleQueue[list[Change] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="queue-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.erase_later()  # a process that was killed has left its log

    def submit(self, change: Change, *, awaited: bool) -> Deferred[None]:
        """Fires when it is durable; fails with TemporaryFailure when the storage fails.

        `awaited` says that somebody waits for it: else it may wait a little for others.
        """
        if self._stopped is not None:
            raise TemporaryFailure("queue: it is closed")
        self._gathered.append(change)
        if awaited and not self._awaited:
            self._awaited = True
            if not self._writing:
                self._hand_over_in(0.0)
        elif not self._writing and self._call is None:
            self._hand_over_in(_LINGER)
        return change.done

    def stop(self) -> Deferred[None]:
        """Write what waits, close the connection, end the thread."""
        if self._stopped is None:
            self._stopped = Deferred()
            if self._erasing is not None:
                self._erasing.cancel()  # the end of the connection does the same
                self._erasing = None
            if not self._writing:
                self._hand_over()
        return self._stopped

    def _hand_over_in(self, seconds: float) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = self._reactor.callLater(seconds, self._hand_over)

    def _hand_over(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        batch = self._gathered[:_BATCH]
        del self._gathered[:_BATCH]
        self._awaited = bool(self._gathered)
        self._writing = bool(batch)
        if batch:
            self._batches.put(batch)
        elif self._stopped is not None:
            self._batches.put(None)

    def _written(self, results: list[tuple[Change, Exception | None]]) -> None:
        for change, error in results:
            if error is None:
                change.done.callback(None)
            else:
                change.done.errback(error)
            if change.gone or change.given_up:
                self.erase_later()
        # Only now: what the callbacks submit is gathered too.
        self._writing = False
        if self._awaited or self._stopped is not None:
            self._hand_over()
        elif self._gathered:
            self._hand_over_in(_LINGER)

    def erase_later(self) -> None:
        """Something is gone: erase it from the log, in `erase_after` seconds at the latest."""
        if self._erasing is None and self._stopped is None:
            self._erasing = self._reactor.callLater(self._erase_after, self._erase)

    def _erase(self) -> None:
        self._erasing = None
        self._batches.put([])  # the thread takes it in its turn

    def _ended(self) -> None:
        self._thread.join()
        if self._stopped is not None:
            self._stopped.callback(None)

    # In the thread.

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            if not batch:
                self._erase_log()
                continue
            results, removed = self._write(batch)
            self._reactor.callFromThread(self._written, results)
            self._remove(removed)
        try:
            self._connection.close()
        finally:
            self._reactor.callFromThread(self._ended)

    def _erase_log(self) -> None:
        try:
            done = erase(self._connection)
        except sqlite3.Error:
            done = False  # the disk is in trouble: what is written next says so
        if not done:
            self._reactor.callFromThread(self.erase_later)

    def _write(self, changes: Sequence[Change]) -> tuple[list[tuple[Change, Exception | None]], list[str]]:
        """Commit together; when that fails each alone, so that none fails for its neighbour's sake."""
        try:
            return [(change, None) for change in changes], self._commit(changes)
        except Exception as error:
            if len(changes) == 1:
                return [(changes[0], _as_failure(error))], []
        results: list[tuple[Change, Exception | None]] = []
        removed: list[str] = []
        for change in changes:
            try:
                removed += self._commit([change])
                results.append((change, None))
            except Exception as error:
                results.append((change, _as_failure(error)))
        return results, removed

    def _commit(self, changes: Sequence[Change]) -> list[str]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            removed = apply(connection, changes)
            connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors (disk full, I/O), not after others.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return removed

    def _remove(self, message_ids: Sequence[str]) -> None:
        """Behind the commit: a crash in between leaves a file without a row, which `open` removes."""
        for message_id in message_ids:
            try:
                self._remove_content(message_id)
            except OSError as error:
                self.log.warn(
                    "the content file of {transaction} stays until the next start: {reason}",
                    event="content_not_removed",
                    transaction=message_id,
                    reason=str(error),
                )


def _as_failure(error: Exception) -> Exception:
    """Tell trouble with the storage (disk full, I/O, corruption) from our own bugs, which stay what they are."""
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)):
        return error
    if isinstance(error, (sqlite3.Error, OSError)):
        return storage_failure("queue", error)
    return error


def apply(connection: sqlite3.Connection, changes: Sequence[Change]) -> list[str]:
    """Write the rows; give the ids of the messages that went and had a content file."""
    _insert(connection, "messages", 4, [row for change in changes for row in change.messages])
    _insert(connection, "content_files", 3, [row for change in changes for row in change.content_files])
    _insert(connection, "deliveries", 12, [row for change in changes for row in change.deliveries])
    retries = [row for change in changes for row in change.retries]
    if retries:
        # A person may have sent it elsewhere during the attempt, or hold it: that stands.
        connection.executemany(f"{_UPDATE} AND destination = ?4", retries)
    gone = [key for change in changes for key in change.gone]
    gone += [(row[0], row[1]) for change in changes for row in change.given_up if _is_there(connection, row)]
    return delete(connection, gone) if gone else []


def _insert(connection: sqlite3.Connection, table: str, columns: int, rows: Sequence[tuple[Any, ...]]) -> None:
    for chunk in _chunks(rows):
        connection.execute(
            f"INSERT INTO {table} VALUES {_places(len(chunk), columns)}", list(chain.from_iterable(chunk))
        )


def update(connection: sqlite3.Connection, row: DeliveryRow) -> None:
    """Write a delivery anew."""
    connection.execute(_UPDATE, row)


def _is_there(connection: sqlite3.Connection, row: tuple[str, int, str]) -> bool:
    query = "SELECT 1 FROM deliveries WHERE message_id = ? AND number = ? AND destination = ?"
    return connection.execute(query, row).fetchone() is not None


def delete(connection: sqlite3.Connection, gone: Sequence[DeliveryId]) -> list[str]:
    """Delete deliveries, and messages whose last one it was; give the ids of those that had a content file."""
    removed: list[str] = []
    for chunk in _chunks(gone):
        # SQLite finds no row by a pair: alone, the second condition would look at every delivery in the queue.
        connection.execute(
            f"DELETE FROM deliveries WHERE message_id IN {_places(1, len(chunk))}"
            f" AND (message_id, number) IN (VALUES {_places(len(chunk), 2)})",
            [*(message_id for message_id, _ in chunk), *chain.from_iterable(chunk)],
        )
    for ids in _chunks({message_id for message_id, _ in gone}):
        places = _places(1, len(ids))
        connection.execute(
            f"DELETE FROM messages WHERE id IN {places}"
            " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_id = id)",
            ids,
        )
        removed += (
            message_id
            for (message_id,) in connection.execute(
                f"DELETE FROM content_files WHERE message_id IN {places}"
                " AND NOT EXISTS (SELECT 1 FROM messages WHERE id = message_id) RETURNING message_id",
                ids,
            ).fetchall()
        )
    return removed


def _chunks(rows: Collection[Any]) -> Iterable[list[Any]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS)):
        yield chunk


@lru_cache(maxsize=256)
def _places(rows: int, columns: int) -> str:
    return ",".join(["(" + ",".join("?" * columns) + ")"] * rows)
