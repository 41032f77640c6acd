"""From what arrives or lies in a folder to the reports in it: messages, ZIP, gzip, XML and JSON are told by content.

Everything is a stranger's (RFC 9990 "Report Contents as an Attack"): MAX_SIZE octets unpacked in all, MAX_MEMBERS files
of an archive, MAX_NESTED wrappings in each other.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from mailgw.filters.mime import find_parts

MAX_SIZE = 25 * 1024 * 1024
MAX_MEMBERS = 100
MAX_NESTED = 3
_LONE_NEWLINE = re.compile(rb"(?<!\r)\n")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
"""Byte order marks."""
_ARF = "message/feedback-report"
_PROSE = ("text/plain", "text/html")
_HEADERS = ("text/rfc822-headers", "message/rfc822-headers")

Kind = Literal["xml", "json", "arf"]


class UnpackError(ValueError):
    """It cannot be unpacked; the text says why."""


@frozen
class Found:
    """Something that may be a report. `headers` are those of the message that an ARF report is about, if shown."""

    kind: Kind
    data: bytes
    headers: bytes = b""


def unpack(data: bytes) -> Iterator[Found]:
    """Give each thing in `data` that may be a report; what is no such thing is passed over. Raises UnpackError."""
    yield from _Unpacking().unpack(data, 0)


class _Unpacking:
    def __init__(self) -> None:
        self._left = MAX_SIZE

    def unpack(self, data: bytes, nested: int) -> Iterator[Found]:
        if nested > MAX_NESTED:
            raise UnpackError(f"archives in archives, more than {MAX_NESTED} deep")
        if data.startswith(b"\x1f\x8b"):
            yield from self.unpack(self._gunzip(data), nested + 1)
        elif data.startswith(b"PK\x03\x04"):
            for member in self._members(data):
                yield from self.unpack(member, nested + 1)
        elif (kind := _kind(data)) is not None:
            yield Found(kind, data)
        elif nested == 0:
            yield from self._message(data)

    def _message(self, data: bytes) -> Iterator[Found]:
        """Look at the parts by content: their types and names are often wrong."""
        if len(data) > 2 * MAX_SIZE:
            raise UnpackError(f"the message is larger than {2 * MAX_SIZE} octets")
        data = _LONE_NEWLINE.sub(b"\r\n", data)
        parts = find_parts(data)
        headers = next((part for part in parts if part.content_type in _HEADERS), None)
        for part in parts:
            if part.content_type == _ARF:
                yield Found("arf", part.decode(data, MAX_SIZE), headers.decode(data, MAX_SIZE) if headers else b"")
            elif part.filename or part.content_type not in _PROSE:
                yield from self.unpack(part.decode(data), 1)

    def _gunzip(self, data: bytes) -> bytes:
        engine = zlib.decompressobj(wbits=31)
        try:
            unpacked = engine.decompress(data, self._left + 1)
            whole = engine.eof
        except zlib.error as error:
            raise UnpackError(f"the gzip data is broken: {error}") from None
        self._spend(len(unpacked))
        if not whole:
            raise UnpackError("the gzip data ends too early")
        return unpacked

    def _members(self, data: bytes) -> Iterator[bytes]:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if len(members) > MAX_MEMBERS:
                    raise UnpackError(f"the archive has more than {MAX_MEMBERS} files")
                for member in members:
                    with archive.open(member) as file:
                        unpacked = file.read(self._left + 1)
                    self._spend(len(unpacked))
                    yield unpacked
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise UnpackError(str(error) or "the archive is broken") from None
        except RuntimeError:
            raise UnpackError("the archive is encrypted") from None

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise UnpackError(f"it unpacks to more than {MAX_SIZE} octets")


def _kind(data: bytes) -> Kind | None:
    start = data[:200].lstrip()
    if start.startswith(_MARKS) or start.startswith(b"<"):
        return "xml"
    return "json" if start.startswith(b"{") else None
