"""The disk under the queue: its free space, who holds it, and whether it is one that can be trusted."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from mailgw.mail.reply import StorageFull, TemporaryFailure
from mailgw.queue.store import QueueUnusable

# Their locks and their shared memory do not hold between machines; a write-ahead log needs both.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "fuse.sshfs", "glusterfs"})
_CHECK_INTERVAL = 1.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def storage_failure(doing: str, error: OSError | sqlite3.Error) -> TemporaryFailure:
    """Make the failure that an error of the disk or of SQLite is: StorageFull when room is all that is missing."""
    cause = f"{doing}: {error}"
    if isinstance(error, OSError):
        full = error.errno in _FULL
    else:
        # Not every sqlite3.Error comes from SQLite itself and has its code.
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return StorageFull(cause) if full else TemporaryFailure(cause)


class FreeSpace:
    """Asks for the free space at most once a second (a call that does not wait for the disk)."""

    def __init__(
        self,
        directory: Path,
        minimum: int,
        clock: IReactorTime,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._directory = directory
        self._minimum = minimum
        self._clock = clock
        self._statvfs = statvfs
        self._asked: float | None = None
        self._free = 0

    def check(self) -> None:
        """Raise StorageFull when fewer than `minimum` octets are free, TemporaryFailure when that cannot be known."""
        now = self._clock.seconds()
        # The wall clock may be set back: then ask again.
        if self._asked is None or not 0 <= now - self._asked < _CHECK_INTERVAL:
            try:
                found = self._statvfs(self._directory)
            except OSError as error:
                raise TemporaryFailure(f"queue: cannot ask for the free space of {self._directory}: {error}") from error
            self._free = found.f_bavail * found.f_frsize
            self._asked = now
        if self._free < self._minimum:
            raise StorageFull(
                f"disk almost full: {self._free} octets are free in {self._directory}, minimum_free is {self._minimum}"
            )


class DirectoryLock:
    """Holds a directory for this process, until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        """Raises QueueUnusable when another process holds it, OSError."""
        self._file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise QueueUnusable(
                f"the queue in {directory} is in use by another process: is a mailgw running already?"
            ) from None

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def refuse_network(directory: Path, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Raise QueueUnusable when the directory is on a network file system. Where nobody can say, say nothing."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return
    kind = filesystem(directory.resolve(), lines)
    if kind in _NETWORK:
        raise QueueUnusable(f"the queue in {directory} is on a network file system ({kind}): put it on a local disk")


def filesystem(path: Path, lines: list[str]) -> str:
    """Give the type of the file system that holds an absolute path, from the lines of proc(5) mountinfo."""
    found = ""
    length = -1
    for line in lines:
        before, _, behind = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not behind:
            continue
        point = Path(fields[4].replace("\\040", " "))
        # A later line covers an earlier one of the same mount point.
        if path.is_relative_to(point) and len(point.parts) >= length:
            found, length = behind.split(" ")[0], len(point.parts)
    return found


def make_directory(directory: Path) -> None:
    """Make a directory for its owner only, with its parents, and make that durable."""
    missing = []
    parent = directory
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(folder.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
