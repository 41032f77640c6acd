"""A database of state: one SQLite file, its tables by version, work on it in threads."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from mailgw.mail.reply import TemporaryFailure
from mailgw.operation.threads import Pool

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""Something to do on a connection, within a transaction. Runs in a thread; keeps no cursor."""

# Others (workers, the command line) hold the file for a moment only.
_BUSY = 10.0
# Work that nobody waits for is written together, after this.
_LINGER = 1.0
# So much of it may wait for a disk that does not keep up; what comes then is not kept, and the log says so.
MAX_NOTES = 20_000


class StateUnusable(Exception):
    """The file cannot be used as it is; the text names it and says what to do."""


def connect(path: Path, migrations: Sequence[str], *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file, make it when it is not there, and bring its tables up to date.

    `migrations` are SQL scripts: the first makes the tables, each later one changes them; their number is the version,
    which stands in `PRAGMA user_version`. With `read_only` nothing is made or changed. Raises StateUnusable for a file
    of a later version (or, with `read_only`, none or an earlier one), sqlite3.Error.
    """
    if not read_only:
        _make_file(path)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY,
    )
    try:
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            # No sync at each commit: what it costs in a power cut is seconds, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
        _migrate(connection, path, migrations, read_only=read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_file(path: Path) -> None:
    """Make the file where it is not there yet, with the mode and owner that SQLite then gives to what stands beside it.

    It holds who wrote to whom: nobody else may read it. A command that root runs must not make it root's.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return  # it is there, or SQLite says what is wrong
    try:
        if os.geteuid() == 0:
            folder = path.absolute().parent.stat()
            os.fchown(file, folder.st_uid, folder.st_gid)
    finally:
        os.close(file)


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str], *, read_only: bool) -> None:
    if _version(connection) == len(migrations):
        return
    if read_only:
        raise StateUnusable(
            f"{path} is of version {_version(connection)}, not {len(migrations)}: start the gateway once"
        )
    connection.execute("BEGIN IMMEDIATE")  # another worker may be about to do the same
    try:
        version = _version(connection)
        if version > len(migrations):
            raise StateUnusable(
                f"{path} was written by a later mailgw (version {version}, this one knows up to {len(migrations)}): "
                "start that one, or move the file away to begin anew"
            )
        for script in migrations[version:]:
            for statement in script.split(";"):  # executescript would commit
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return version


def transact(connection: sqlite3.Connection, works: Sequence[Work[Any]]) -> list[Any]:
    """Do all of it in one transaction, or nothing, and give what each gives."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        results = [work(connection) for work in works]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return results


class Database:
    """The file in a running gateway. `read` and `write` are awaited; `note` is for what nobody waits for."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, path: Path, migrations: Sequence[str], reactor: Any) -> None:
        self._path = path
        self._migrations = migrations
        self._reactor = reactor
        # Each thread has its connection to itself.
        self._writing = Pool(reactor, f"{path.stem}-write", 1)
        self._reading = Pool(reactor, f"{path.stem}-read", 1)
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._notes: list[Work[object]] = []
        self._call: IDelayedCall | None = None
        self._flushing: Deferred[None] | None = None
        self._closing = False

    async def open(self) -> None:
        """Raises StateUnusable."""
        self._writing.start()
        self._reading.start()
        try:
            self._writer = await self._writing.run(connect, self._path, self._migrations)
            self._reader = await self._reading.run(connect, self._path, self._migrations)
        except BaseException as error:
            await self.close()  # threads would keep the process alive
            if isinstance(error, (sqlite3.Error, OSError)):
                raise StateUnusable(f"cannot open {self._path}: {error}") from error
            raise

    async def close(self) -> None:
        """Write what was noted, then close."""
        self._closing = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._flushing is not None:
            await self._flushing
        if self._notes:
            await self._flush()
        writer, self._writer = self._writer, None
        reader, self._reader = self._reader, None
        self._reading.stop()
        self._writing.stop()
        for connection in (reader, writer):
            if connection is not None:
                connection.close()

    async def read(self, work: Work[T]) -> T:
        """Do something that changes nothing. Raises TemporaryFailure when the storage fails."""
        return await self._run(self._reading, work, self._reader)

    async def write(self, work: Work[T]) -> T:
        """Do something in a transaction; it is written when this returns. Raises TemporaryFailure."""
        (result,) = await self._run(self._writing, transact, self._writer, [work])
        return result  # type: ignore[no-any-return]

    def note(self, work: Work[object]) -> None:
        """Do something soon, together with what else is noted. When it fails the log says so."""
        if self._writer is None or self._closing or len(self._notes) >= MAX_NOTES:
            self.log.warn("a note for {file} is not kept", event="note_lost", file=self._path.name)
            return
        self._notes.append(work)
        if self._call is None and self._flushing is None:
            self._call = self._reactor.callLater(_LINGER, self._begin)

    def _begin(self) -> None:
        self._call = None
        self._flushing = Deferred.fromCoroutine(self._flush())
        self._flushing.addBoth(self._flushed)

    def _flushed(self, _: object) -> None:
        self._flushing = None
        if self._notes and not self._closing:
            self._call = self._reactor.callLater(_LINGER, self._begin)

    async def _flush(self) -> None:
        notes, self._notes = self._notes, []
        try:
            await self._run(self._writing, transact, self._writer, notes)
        except Exception:
            await self._flush_alone(notes)

    async def _flush_alone(self, notes: Sequence[Work[object]]) -> None:
        """Write each by itself, so that none is lost for its neighbour's sake."""
        for note in notes:
            try:
                await self._run(self._writing, transact, self._writer, [note])
            except Exception as error:
                self.log.failure(
                    "a note for {file} is lost: {reason}", event="note_lost", file=self._path.name, reason=str(error)
                )
                if isinstance(error, TemporaryFailure):
                    return  # the disk is full or broken: the others would fail too

    async def _run(self, pool: Pool, work: Callable[..., T], connection: sqlite3.Connection | None, *args: Any) -> T:
        if connection is None:
            raise TemporaryFailure(f"{self._path.name}: it is not open")
        try:
            return await pool.run(work, connection, *args)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
                raise
            raise TemporaryFailure(f"{self._path.name}: {error}") from error
