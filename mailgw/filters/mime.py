"""The MIME structure of a message (RFC 2045, 2046), as offsets into its octets.

Not by the standard library's `email`: its parser takes the message line by line and compares each line with the
boundary of every level (1 MiB of empty lines 50 levels deep: 3 s of the reactor's time). Here a boundary is found by
one search in its level's octets. Bounds: MAX_DEPTH levels, MAX_PARTS parts, MAX_DELIMITERS lines like a boundary,
MAX_SEARCHED octets looked through for boundaries.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from mmap import mmap
from typing import Literal

from attrs import frozen

from mailgw.filters.charset import NO_BASE64, decode_base64, decode_text, decode_words
from mailgw.filters.magic import HEAD, find_kind

MAX_DEPTH = 50
MAX_PARTS = 1000
MAX_DELIMITERS = 10_000
MAX_SEARCHED = 512 * 1024 * 1024
"""A message of 50 MiB ten levels deep, say: half a second of a thread."""
_MAX_VALUE = 4096
_MAX_HEADER = 64 * 1024
_PIECE = 256 * 1024

Octets = bytes | mmap
"""A message's content: in memory, or in a file that is not read but mapped."""

Flaw = Literal["no boundary", "not begun", "not closed", "too deep", "too many parts", "encoded"]

# For a header section in lower case with a line end in front: the search for a fixed beginning is a fast one.
_FIELD = re.compile(rb"\ncontent-(type|transfer-encoding|disposition)[ \t]*:((?:[^\r\n]++|\r\n[ \t]|\r(?!\n))*+)")
# RFC 2045 5.1 parameters; RFC 2231 adds `*` and `*0*`. A quoted string may hold what it likes.
_PARAMETER = re.compile(r';\s*([A-Za-z0-9_-]{1,40})(\*[0-9]{0,2}\*?)?\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))', re.S)


@frozen
class Part:
    """A part that holds no other parts. `content_type`, `encoding` and `disposition` are as declared, in lower case;
    `kind` is what its content begins like (`magic.find_kind`).

    A part without a Content-Type has the one that RFC 2046 gives it there, and `declared` is false. `filename` is that
    of Content-Disposition, else the `name` of Content-Type. `start` and `end` are where its content stands in the
    message, still encoded; `depth` is 0 for the message itself; `parent` is the index in `Structure.containers` of what
    holds it, or -1.
    """

    content_type: str
    charset: str
    encoding: str
    filename: str
    start: int
    end: int
    disposition: str = ""
    depth: int = 0
    parent: int = -1
    declared: bool = True
    kind: str = ""

    @property
    def size(self) -> int:
        """The octets of its content as they were sent."""
        return self.end - self.start

    def decode(self, data: Octets, most: int | None = None) -> bytes:
        """Give its content, the transfer encoding undone (RFC 2045 6): all of it, or the first `most` octets.

        `data` is the message that it is part of. Never raises; the work is in proportion to what is given.
        """
        if most is None:
            return _undo(data[self.start : self.end], self.encoding)
        # An octet takes up to 3 as quoted-printable, 4/3 and line ends as base64; a hostile one takes more, and loses.
        room = most if self.encoding not in ("base64", "quoted-printable") else 3 * most + 100
        return _undo(data[self.start : min(self.end, self.start + room)], self.encoding)[:most]

    def pieces(self, data: Octets) -> Iterator[bytes]:
        """Give its decoded content piece by piece, so that no more than a piece is ever in memory twice."""
        kept = b""
        for start in range(self.start, self.end, _PIECE):
            piece = data[start : min(start + _PIECE, self.end)]
            if self.encoding == "base64":
                digits = kept + piece.translate(None, NO_BASE64)
                whole = len(digits) & ~3
                piece, kept = digits[:whole], digits[whole:]
            elif self.encoding == "quoted-printable":  # up to a line end: an encoded octet must not be cut in two
                whole = piece.rfind(b"\n") + 1 or len(piece)
                piece, kept = kept + piece[:whole], piece[whole:]
            yield _undo(piece, self.encoding)
        if kept:
            yield _undo(kept, self.encoding)

    def text(self, data: Octets, most: int | None = None) -> str:
        """Give its content as text in its charset; `most` is in octets."""
        return decode_text(self.decode(data, most), self.charset)


@frozen
class Container:
    """A part that holds parts: a multipart, or a message (message/rfc822). `parent` is the index of its own, or -1."""

    content_type: str
    depth: int
    parent: int


@frozen
class Structure:
    """The parts of a message in their order, what holds them, and each thing that is wrong once."""

    parts: tuple[Part, ...]
    containers: tuple[Container, ...]
    flaws: tuple[Flaw, ...]


@frozen
class _Header:
    content_type: str
    parameters: dict[str, str]
    encoding: str
    filename: str
    disposition: str
    declared: bool
    body: int
    """Where the body starts."""


def find_structure(data: Octets) -> Structure:
    """Take a message apart. Never raises, unless reading a mapped file does."""
    walk = _Walk(data)
    parts = tuple(walk.parts())
    return Structure(parts, tuple(walk.containers), tuple(walk.flaws))


def find_parts(data: Octets) -> list[Part]:
    """Give the parts of a message in their order."""
    return list(_Walk(data).parts())


class _Walk:
    def __init__(self, data: Octets) -> None:
        self._data = data
        self._delimiters = 0
        self._searched = 0
        self.containers: list[Container] = []
        self.flaws: dict[Flaw, None] = {}

    def parts(self) -> Iterator[Part]:
        seen = 0
        # What is to be looked at, the next one last: (start, end, depth, its container, its type when none is given).
        stack = [(0, len(self._data), 0, -1, "text/plain")]
        while stack and seen < MAX_PARTS:
            seen += 1
            start, end, depth, parent, default = stack.pop()
            header = _read_header(self._data, start, end, default)
            multipart = header.content_type.startswith("multipart/")
            container = multipart or (header.content_type == "message/rfc822" and header.encoding != "base64")
            boundary = header.parameters.get("boundary", "") if multipart else ""
            if header.encoding in ("base64", "quoted-printable") and (
                multipart or header.content_type == "message/rfc822"
            ):
                self.flaws["encoded"] = None
            if container and depth >= MAX_DEPTH:
                self.flaws["too deep"] = None
            elif multipart and not boundary:
                self.flaws["no boundary"] = None
            elif container:
                self.containers.append(Container(header.content_type, depth, parent))
                inside = (depth + 1, len(self.containers) - 1)
                if multipart:
                    inner = "message/rfc822" if header.content_type == "multipart/digest" else "text/plain"
                    children = self._children(header.body, end, boundary.encode("utf-8", "replace"), MAX_PARTS - seen)
                    stack += [(first, last, *inside, inner) for first, last in reversed(children)]
                else:
                    stack.append((header.body, end, *inside, "text/plain"))
                continue
            yield self._part(header, end, depth, parent)
        if stack:
            self.flaws["too many parts"] = None

    def _children(self, start: int, end: int, boundary: bytes, most: int) -> list[tuple[int, int]]:
        """Give where the body parts of a multipart stand (RFC 2046 5.1.1); preamble and epilogue are none."""
        delimiter = b"\r\n--" + boundary
        found: list[tuple[int, int]] = []
        opened = -1
        position = max(start - 2, 0)  # the line end before the first delimiter may be that of the empty line
        self._searched += end - start
        if self._searched > MAX_SEARCHED:
            self.flaws["too deep"] = None
            return []
        while True:
            at = self._data.find(delimiter, position, end)
            if at < 0:
                break
            if len(found) >= most or self._delimiters >= MAX_DELIMITERS:
                self.flaws["too many parts"] = None
                break
            self._delimiters += 1
            position = at + len(delimiter)
            line_end = self._data.find(b"\r\n", position, min(position + 200, end))
            rest = self._data[position : line_end if line_end >= 0 else min(position + 200, end)].rstrip(b" \t")
            if rest not in (b"", b"--"):
                continue  # a line that only starts like the boundary: perhaps that of another level
            if opened >= 0:
                found.append((opened, at))
            opened = line_end + 2 if line_end >= 0 else end
            if rest:
                return found
            position = max(opened - 2, position)
        self.flaws["not begun" if opened < 0 else "not closed"] = None
        if 0 <= opened < end and len(found) < most:  # what is there counts
            found.append((opened, end))
        return found

    def _part(self, header: _Header, end: int, depth: int, parent: int) -> Part:
        head = _undo(self._data[header.body : min(end, header.body + 2 * HEAD)], header.encoding)
        return Part(
            header.content_type,
            header.parameters.get("charset", ""),
            header.encoding,
            header.filename,
            header.body,
            end,
            header.disposition,
            depth,
            parent,
            header.declared,
            find_kind(head),
        )


def _undo(content: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return decode_base64(content)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(content)
    return content


def _read_header(data: Octets, start: int, end: int, default: str) -> _Header:
    if data[start : start + 2] == b"\r\n":
        return _Header(default, {}, "", "", "", False, start + 2)
    stop = data.find(b"\r\n\r\n", start, min(end, start + _MAX_HEADER))
    if stop < 0:  # no body, or a header that is longer than any: what is behind it is not looked at
        body, head = end, b"\n" + data[start : min(end, start + _MAX_HEADER)]
    else:
        body, head = stop + 4, b"\n" + data[start : stop + 2]
    values: dict[bytes, str] = {}
    for match in _FIELD.finditer(head.lower()):
        value = head[match.start(2) : match.end(2)][:_MAX_VALUE].replace(b"\r\n", b"")
        values.setdefault(match.group(1), value.decode("utf-8", "replace"))
    if not values:
        return _Header(default, {}, "", "", "", False, body)
    kind = values.get(b"type", "")
    parameters = _parameters(kind)
    declared = "/" in kind
    content_type = kind.partition(";")[0].strip().lower() if declared else default
    disposition = values.get(b"disposition", "")
    filename = _parameters(disposition).get("filename") or parameters.get("name", "")
    encoding = values.get(b"transfer-encoding", "").strip().lower()
    shown = disposition.partition(";")[0].strip().lower()
    return _Header(content_type, parameters, encoding, decode_words(filename), shown, declared, body)


def _parameters(value: str) -> dict[str, str]:
    """Read parameters, those that RFC 2231 cut into sections or encoded put together."""
    plain: dict[str, str] = {}
    sections: dict[str, str] = {}
    for match in _PARAMETER.finditer(value):
        name, section, quoted, token = match.groups()
        text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else token
        if section:
            sections[name.lower()] = sections.get(name.lower(), "") + _percent(text, section)
        else:
            plain.setdefault(name.lower(), text.strip())
    return sections | plain if plain else sections


def _percent(text: str, section: str) -> str:
    """Undo RFC 2231's percent encoding; the charset stands in front (`utf-8'en'...`) of the first section only."""
    if not section.endswith("*"):
        return text
    charset, quote, rest = text.partition("'")
    language, second, encoded = rest.partition("'")
    if not (quote and second and len(charset) < 40 and len(language) < 40):
        charset, encoded = "utf-8", text
    octets = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), encoded.encode("utf-8", "replace"))
    return decode_text(octets, charset)
