"""Messages as they lie about: files, mbox files, Maildirs, folders of any of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

from attrs import frozen

LARGEST = 64 * 1024 * 1024
"""Octets of a message that is read."""
# A line of mbox: its predecessor is empty, it holds a time of day, and a header field follows it. Texts hold lines
# that start with "From " too.
_MBOX_LINE = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From [^\n]*\d:\d\d[^\n]*\n(?=[!-9;-~]+:)")


@frozen
class Found:
    """Where a message is: a file, or a part of an mbox file. `trouble` says why it cannot be read."""

    path: Path
    start: int = 0
    end: int | None = None
    trouble: str = ""

    def read(self) -> bytes:
        """Give its octets. Raises OSError, ValueError for one that is too large."""
        if self.trouble:
            raise ValueError(self.trouble)
        with open(self.path, "rb") as file:
            size = (os.fstat(file.fileno()).st_size if self.end is None else self.end) - self.start
            if size > LARGEST:
                raise ValueError(f"larger than {LARGEST // 1024 // 1024} MiB")
            file.seek(self.start)
            return file.read(max(size, 0))


def find_messages(path: Path) -> Iterator[Found]:
    """Give the messages at a path, in the order of their names: those of a file, of the `new` and `cur` of a Maildir,
    or of all that is in a folder but what is hidden. A link is followed only where it is the path itself."""
    try:
        if not path.is_dir():
            yield from _in_file(path)
            return
        maildir = (path / "cur").is_dir() and (path / "new").is_dir()
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        yield Found(path, trouble=error.strerror or str(error))
        return
    for entry in entries:
        if entry.name.startswith(".") or (maildir and entry.name not in ("new", "cur")):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from find_messages(path / entry.name)
        elif entry.is_file(follow_symlinks=False) and not maildir:
            yield from _in_file(path / entry.name)


def _in_file(path: Path) -> Iterator[Found]:
    try:
        with open(path, "rb") as file:
            if file.read(5) != b"From ":
                yield Found(path)
                return
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                starts = [match.start() for match in _MBOX_LINE.finditer(data)]
    except OSError as error:
        yield Found(path, trouble=error.strerror or str(error))
        return
    if not starts or starts[0]:
        starts.insert(0, 0)
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        yield Found(path, start, end)
