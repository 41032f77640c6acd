"""Files that are replaced or made as a whole: whoever reads one sees all of it, whatever happens in between."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Let one command at a time change what is in a folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace_file(path: str, data: bytes, mode: int, owner: tuple[int, int] = (-1, -1)) -> None:
    """Write a file anew, or make it. `owner` is uid and gid; -1 leaves one as it comes. Raises OSError."""
    path = os.path.realpath(path)  # where the file is a link, what it leads to is replaced
    temporary = _write_beside(path, data, mode, owner)
    try:
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync(os.path.dirname(path))


def create_file(path: str, data: bytes, mode: int, owner: tuple[int, int] = (-1, -1)) -> None:
    """Make a file that is not there yet. Raises FileExistsError when it is, and OSError."""
    temporary = _write_beside(path, data, mode, owner)
    try:
        os.link(temporary, path)  # unlike rename, it never takes the place of another file
    finally:
        os.unlink(temporary)
    _sync(os.path.dirname(path))


def _write_beside(path: str, data: bytes, mode: int, owner: tuple[int, int]) -> str:
    """Write it under another name in the same folder, durably; give that name."""
    folder, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if owner != (-1, -1):
                os.fchown(file.fileno(), *owner)
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
