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
from mailgw.operation.files import locked
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
# When a file that could not be opened is tried again.
_AGAIN = 60.0
_SPOILT = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


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


def set_aside_when_spoilt(path: Path, migrations: Sequence[str]) -> Path | None:
    """Move a file away that SQLite cannot read, and give where it is then; None when it can. Raises as `connect`."""
    with locked(str(path.absolute().parent)):  # another worker may have done it already
        try:
            connect(path, migrations).close()
        except sqlite3.DatabaseError as error:
            if not is_spoilt(error):
                raise
        else:
            return None
        number = 1
        while (aside := path.with_name(f"{path.name}.spoilt-{number}")).exists():
            number += 1
        os.rename(path, aside)
        for suffix in ("-wal", "-shm"):  # they would be taken for those of the next file
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return aside


def is_spoilt(error: BaseException) -> bool:
    """Whether it says that a file is no database, or is damaged."""
    return isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _SPOILT


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
    """The file in a running gateway. `read` and `write` are awaited; `note` is for what nobody waits for.

    Mail does not stop for what is remembered of it: a spoilt file is moved aside, and while a file cannot be opened
    `read` and `write` raise TemporaryFailure.
    """

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
        self._again: IDelayedCall | None = None
        self._connecting: Deferred[None] | None = None
        self._losing = False

    async def open(self) -> None:
        """Raises StateUnusable for a file of a later version."""
        self._writing.start()
        self._reading.start()
        try:
            await self._connect()
        except BaseException:
            await self.close()  # threads would keep the process alive
            raise

    async def _connect(self) -> None:
        """Open the file, or say why not and try again later. Raises StateUnusable."""
        self._again = None
        try:
            try:
                self._writer = await self._writing.run(connect, self._path, self._migrations)
            except sqlite3.DatabaseError as error:
                if not is_spoilt(error):
                    raise
                await self._begin_anew(error)
            self._reader = await self._reading.run(connect, self._path, self._migrations)
        except (sqlite3.Error, OSError) as error:
            self.log.error(
                "{file} cannot be opened: {reason}. Mail goes on without it; it is tried again in {seconds:g} s",
                event="state_unusable",
                file=str(self._path),
                reason=str(error),
                seconds=_AGAIN,
            )
            if not self._closing:
                self._again = self._reactor.callLater(_AGAIN, self._try_again)

    def _try_again(self) -> None:
        self._connecting = Deferred.fromCoroutine(self._connect())
        self._connecting.addErrback(
            lambda failure: self.log.failure("{file} is not used", failure, event="state_unusable", file=self._path)
        )

    async def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        aside = await self._writing.run(set_aside_when_spoilt, self._path, self._migrations)
        self._writer = await self._writing.run(connect, self._path, self._migrations)
        if aside is not None:
            self.log.error(
                "{file} is spoilt ({reason}): it is {aside} from now on, and what it held is forgotten",
                event="state_spoilt",
                file=str(self._path),
                reason=str(error),
                aside=aside.name,
            )

    async def close(self) -> None:
        """Write what was noted, then close."""
        self._closing = True
        for call in (self._call, self._again):
            if call is not None:
                call.cancel()
        self._call = self._again = None
        if self._connecting is not None:
            await self._connecting
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
            if not self._losing:  # once, and not for each message
                self.log.warn("notes for {file} are not kept", event="note_lost", file=self._path.name)
            self._losing = True
            return
        self._losing = False
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
