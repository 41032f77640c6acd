"""The embedded queue: one SQLite database with envelopes, contents and state, written with group commit."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger

from mailgw.mail.message import BytesContent, Content, FileContent
from mailgw.mail.reply import TemporaryFailure
from mailgw.operation.threads import Pool
from mailgw.queue import damage, reading
from mailgw.queue.codec import encode_delivery, encode_facts, encode_message
from mailgw.queue.content import ContentFiles, SpillingWriter
from mailgw.queue.disk import (
    DirectoryLock,
    FreeSpace,
    make_directory,
    refuse_network,
    storage_failure,
    sync_directory,
)
from mailgw.queue.item import Delivery, DeliveryId, Priority, QueuedMessage
from mailgw.queue.migration import migrate
from mailgw.queue.nudge import NudgeFile
from mailgw.queue.schema import open_database, open_reader
from mailgw.queue.store import ContentWriter, Entry, QueueSize, QueueUnusable, Settlement
from mailgw.queue.writer import ERASE_AFTER, Change, Writer

P = ParamSpec("P")
T = TypeVar("T")

_CONTENT = "content"
# Threads that write content files: as many senders of large messages go on at the same time.
_DISK_THREADS = 4


@frozen
class _Opened:
    """What there is from `open` to `close`."""

    lock: DirectoryLock
    writer: Writer
    reader: sqlite3.Connection
    disk: Pool
    """For content files."""
    reading: Pool
    """One thread, which has `reader` to itself."""
    nudge: NudgeFile


class SqliteStore:
    """A QueueStore in a directory of its own: `queue.db`, and `content/` for contents over `inline_size` octets.

    One process holds it at a time. Below `minimum_free` octets of free disk nothing new is accepted; settling goes on.
    A message that is gone is gone from the disk `erase_after` seconds later.
    """

    log = Logger()

    def __init__(
        self,
        directory: Path | str,
        reactor: IReactorFromThreads,
        *,
        inline_size: int,
        minimum_free: int,
        clock: IReactorTime,
        files: ContentFiles | None = None,
        erase_after: float = ERASE_AFTER,
    ) -> None:
        self._directory = Path(directory)
        self._reactor = reactor
        self._inline_size = inline_size
        self._files = files or ContentFiles(self._directory / _CONTENT)
        self._clock = clock
        self._space = FreeSpace(self._directory, minimum_free, clock)
        self._erase_after = erase_after
        self._current: _Opened | None = None

    async def open(self) -> None:
        disk = Pool(self._reactor, "queue-disk", _DISK_THREADS)
        disk.start()
        try:
            lock, writer, reader = await disk.run(self._open)
        except (OSError, sqlite3.Error) as error:
            disk.stop()
            advice = damage.advice(self._directory, error)
            raise QueueUnusable(f"cannot open the queue in {self._directory}: {error}{advice}") from error
        except BaseException:
            disk.stop()
            raise
        reading = Pool(self._reactor, "queue-read", 1)
        reading.start()
        writer.start()
        self._current = _Opened(lock, writer, reader, disk, reading, NudgeFile(self._directory))

    async def close(self) -> None:
        opened, self._current = self._current, None
        if opened is None:
            return
        opened.disk.stop()
        opened.reading.stop()
        opened.reader.close()
        # The last connection that closes writes the log back: after a clean end `queue.db` alone is the whole queue.
        await opened.writer.stop()
        opened.lock.release()

    def new_content(self, message_id: str) -> ContentWriter:
        self._space.check()
        return SpillingWriter(self._files, self._opened.disk, message_id, self._inline_size)

    async def put(self, *entries: Entry) -> None:
        self._space.check()
        change = Change()
        for entry in entries:
            self._add(change, entry)
        if not change.content_files:
            await self._opened.writer.submit(change, awaited=True)
            return
        ids = [message_id for message_id, _, _ in change.content_files]
        self._files.taken.update(ids)
        try:
            await self._opened.writer.submit(change, awaited=True)
        except CancelledError:
            raise  # nobody waits for it, and yet it is written: the file stays taken
        except Exception:
            self._files.taken.difference_update(ids)
            raise
        self._files.taken.difference_update(ids)

    async def copy(self, content: Content, message_id: str) -> Content:
        if not isinstance(content, FileContent):
            return content
        try:
            path = await self._opened.disk.run(self._files.link, content.path, message_id)
        except OSError as error:
            raise storage_failure("queue: cannot link a content", error) from error
        return FileContent(path, content.size)

    async def discard(self, content: Content) -> None:
        if isinstance(content, FileContent):
            try:
                await self._opened.disk.run(self._files.remove, Path(content.path).name)
            except (OSError, TemporaryFailure):
                pass  # the next start removes what no row holds

    async def settle(self, settlements: Sequence[Settlement], reports: Sequence[Entry] = ()) -> None:
        change = Change()
        for settlement in settlements:
            if settlement.retry is not None:
                change.retries.append(encode_delivery(settlement.retry))
            elif settlement.destination:
                change.given_up.append((*settlement.id, settlement.destination))
            else:
                change.gone.append(settlement.id)
        for report in reports:
            self._add(change, report)
        await self._opened.writer.submit(change, awaited=False)

    async def due(
        self,
        before: float,
        limit: int,
        skip: Collection[DeliveryId] = (),
        *,
        since: float = -math.inf,
        destination: str | None = None,
        without: Collection[str] = (),
        priority: Priority | None = None,
    ) -> Sequence[Delivery]:
        # Copies: the caller's sets go on changing while a thread looks into them.
        return await self._read(
            reading.read_due, before, limit, frozenset(skip), since, destination, tuple(without), priority
        )

    async def next_due(self, after: float = -math.inf, *, priority: Priority | None = None) -> float | None:
        return await self._read(reading.read_next_due, after, priority)

    async def message(self, message_id: str) -> QueuedMessage | None:
        return await self._read(reading.read_message, self._files.path, message_id)

    async def standing(self, deliveries: Sequence[Delivery]) -> Entry | None:
        return await self._read(reading.read_standing, self._files.path, deliveries)

    def changed(self) -> bool:
        opened = self._opened
        if not opened.nudge.changed():
            return False
        opened.writer.erase_later()  # the command does it too, but for a reader in its way
        return True

    async def entries(self, limit: int, after: str = "") -> Sequence[Entry]:
        return await self._read(reading.read_entries, self._directory, self._files.path, limit, after)

    async def size(self) -> QueueSize:
        return await self._read(reading.read_size)

    @property
    def _opened(self) -> _Opened:
        if self._current is None:
            raise TemporaryFailure("queue: it is not open")
        return self._current

    def _add(self, change: Change, entry: Entry) -> None:
        queued = entry.message
        if not entry.deliveries:
            raise ValueError(f"{queued.id} has no delivery: it would stay forever")
        content = queued.message.content
        info, prefix = encode_message(queued)
        data: bytes | None = None
        if isinstance(content, BytesContent):
            data = content.data
        elif type(content) is FileContent and content.path == str(self._files.path(queued.id)):
            change.content_files.append((queued.id, content.size, queued.message.head))
        else:
            raise ValueError(f"the content of {queued.id} does not come from this queue's new_content")
        change.messages.append((queued.id, info, prefix, data))
        facts = encode_facts(queued)
        change.deliveries += [(*encode_delivery(delivery), *facts) for delivery in entry.deliveries]

    async def _read(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        opened = self._opened
        try:
            return await opened.reading.run(work, opened.reader, *args, **kwargs)
        except (sqlite3.Error, OSError) as error:
            raise TemporaryFailure(f"queue: {error}") from error

    def _open(self) -> tuple[DirectoryLock, Writer, sqlite3.Connection]:
        """Runs in a thread."""
        refuse_network(self._directory)
        make_directory(self._directory)
        make_directory(self._files.directory)
        lock = DirectoryLock(self._directory)
        try:
            damage.check_place(self._directory, self._files.names())
            commits = damage.commits(self._directory)
            connection = open_database(self._directory, migrate)
            try:
                sync_directory(self._directory)
                damage.probe(connection)
                self._tidy(connection, damage.lost_commits(connection, commits))
                reader = open_reader(self._directory)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.release()
            raise
        return lock, Writer(self._reactor, connection, self._files.remove, self._erase_after), reader

    def _tidy(self, connection: sqlite3.Connection, lost: int) -> None:
        """Remove the contents without a row: a crash between a content file and its commit leaves one, and a crash
        behind a last settlement too. But where commits are `lost`, they may be all that is left of a message."""
        held = frozenset(reading.read_content_files(connection))
        orphans = [name for name in self._files.names() if name not in held and name.isalnum() and name.isascii()]
        if lost:
            kept = damage.keep(self._directory, [self._files.path(name) for name in orphans], self._clock.seconds())
            self.log.error(
                "the log of the queue in {directory} is damaged: {count} commits in it cannot be read, and messages "
                "that were accepted may be lost with them. Whatever the disk said it had synced, it has not kept: look "
                "for the cause. A copy of the log, and {contents} contents without a message, are in {kept}",
                event="queue_damaged",
                directory=str(self._directory),
                count=lost,
                contents=len(orphans),
                kept=str(kept),
            )
            return
        for name in orphans:
            self._files.remove(name)
        if orphans:
            self.log.info("removed {count} contents without a message", event="orphans_removed", count=len(orphans))
