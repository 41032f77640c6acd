"""A message: the bytes as received, an index of its header, and what we put in front of it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO

from attrs import frozen

# RFC 5322 2.2: a field name is printable US-ASCII without colon; the value goes on over folded lines (2.2.3).
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]++|\r\n[ \t]|\r(?!\n)|\n)*+)(?:\r\n|\Z)")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
MAX_HEADER = 256 * 1024
# Up to here it costs less to put head and body together than to handle two pieces.
_SHORT = 32 * 1024


@frozen
class Field:
    """A header field. `raw` is the whole field as received, with its line ends."""

    name: str
    raw: bytes

    @property
    def key(self) -> str:
        """The name in lower case: what to compare."""
        return self.name.lower()

    @property
    def value(self) -> bytes:
        """The value, unfolded, without the space around it."""
        return _FOLD.sub(b"", self.raw.partition(b":")[2]).strip()

    @property
    def text(self) -> str:
        """The value as text: UTF-8 where it is (RFC 6532), Latin-1 where it is not, so it never raises."""
        value = self.value
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")


@frozen
class BytesContent:
    """Content held in memory (and in the queue's row)."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)


@frozen
class FileContent:
    """Content in a file, never whole in memory. Opening and reading it blocks: do it in a thread."""

    path: str
    size: int

    def open(self) -> BinaryIO:
        return open(self.path, "rb")


Content = BytesContent | FileContent


@frozen
class Message:
    """The received bytes, which never change (`content`), behind the fields that we add (`prefix`).

    `cuts` are offsets (from, to) of fields in the head that are not passed on, such as a forged
    Authentication-Results (RFC 8601 5): ascending, not overlapping. `head` is the
    content's header section with the empty line, or the first MAX_HEADER octets when it does not end before that;
    it is in memory even where the content is in a file.
    """

    content: Content
    head: bytes
    prefix: bytes = b""
    cuts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes) -> Message:
        """Make a message from its whole content (CRLF line ends)."""
        return cls(BytesContent(data), head_of(data))

    @property
    def size(self) -> int:
        """The octets of the content, without the prefix."""
        return self.content.size

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The header fields from top to bottom; what is not a field is passed over (see `malformed_header`)."""
        return tuple(_fields(self.head))

    @cached_property
    def malformed_header(self) -> bool:
        """Whether the header section holds lines that are neither field nor fold, or does not end in time."""
        taken = sum(len(f.raw) for f in self.fields)
        rest = len(self.head) - taken
        return not ((rest == 2 and self.head.endswith(b"\r\n")) or (rest == 0 and self.content.size == taken))

    def get(self, name: str) -> Field | None:
        """Give the first field of that name, in any case, or None."""
        key = name.lower()
        return next((f for f in self.fields if f.key == key), None)

    @cached_property
    def head_out(self) -> bytes:
        """What of the header is passed on: the prefix, then the head without the cuts."""
        kept = [self.prefix]
        position = 0
        for start, end in self.cuts:
            kept.append(self.head[position:start])
            position = end
        return b"".join((*kept, self.head[position:]))

    def output(self, chunk_size: int = 256 * 1024) -> Iterator[bytes]:
        """Give what is passed on: the prefix, then the content without the cuts, in pieces.

        Reads a file where the content is one: run it in a thread then (`isinstance(content, FileContent)`).
        """
        if isinstance(self.content, BytesContent):
            body = self.content.data[len(self.head) :]
            yield from (b"".join((self.head_out, body)),) if len(body) < _SHORT else (self.head_out, body)
            return
        yield self.head_out
        with self.content.open() as file:
            file.seek(len(self.head))
            while data := file.read(chunk_size):
                yield data

    def get_all(self, name: str) -> tuple[Field, ...]:
        key = name.lower()
        return tuple(f for f in self.fields if f.key == key)


def head_of(data: bytes) -> bytes:
    """Give the header section with its empty line, or the first MAX_HEADER octets."""
    if data.startswith(b"\r\n"):
        return data[:2]
    end = data.find(b"\r\n\r\n", 0, MAX_HEADER)
    return data[: end + 4] if end >= 0 else data[:MAX_HEADER]


def _fields(head: bytes) -> Iterator[Field]:
    position = 0
    while position < len(head):
        match = _FIELD.match(head, position)
        if match:
            yield Field(match.group(1).decode("ascii"), match.group())
            position = match.end()
            continue
        if head.startswith(b"\r\n", position):
            return
        end = head.find(b"\r\n", position)  # a line that is no field: pass over it
        position = len(head) if end < 0 else end + 2
