"""The MIME structure of a message (RFC 2045, 2046), as offsets into its octets.

Not by the standard library's `email`: its parser takes the message line by line and compares each line with the
boundary of every level (1 MiB of empty lines 50 levels deep: 3 s of the reactor's time). Here a boundary is found by
one search in its level's octets. Bounds: MAX_DEPTH levels, MAX_PARTS parts, MAX_DELIMITERS lines like a boundary.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from attrs import frozen

from mailgw.filters.charset import decode_base64, decode_text, decode_words

MAX_DEPTH = 50
MAX_PARTS = 1000
MAX_DELIMITERS = 10_000
_MAX_VALUE = 4096

# For a header section in lower case with a line end in front: the search for a fixed beginning is a fast one.
_FIELD = re.compile(rb"\ncontent-(type|transfer-encoding|disposition)[ \t]*:((?:[^\r\n]++|\r\n[ \t]|\r(?!\n))*+)")
# RFC 2045 5.1 parameters; RFC 2231 adds `*` and `*0*`. A quoted string may hold what it likes.
_PARAMETER = re.compile(r';\s*([A-Za-z0-9_-]{1,40})(\*[0-9]{0,2}\*?)?\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))', re.S)


@frozen
class Part:
    """A part that holds no other parts. `content_type` and `encoding` are in lower case."""

    content_type: str
    charset: str
    encoding: str
    filename: str
    start: int
    end: int

    def decode(self, data: bytes) -> bytes:
        """Give its content, the transfer encoding undone (RFC 2045 6). `data` is the message that it is part of."""
        content = data[self.start : self.end]
        if self.encoding == "base64":
            return decode_base64(content)
        if self.encoding == "quoted-printable":
            return binascii.a2b_qp(content)
        return content

    def text(self, data: bytes) -> str:
        return decode_text(self.decode(data), self.charset)


@frozen
class _Header:
    content_type: str
    parameters: dict[str, str]
    encoding: str
    filename: str
    body: int
    """Where the body starts."""


def find_parts(data: bytes) -> list[Part]:
    """Give the parts of a message in their order."""
    return list(_Walk(data).parts())


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._delimiters = 0

    def parts(self) -> Iterator[Part]:
        seen = 0
        # What is to be looked at, the next one last: (start, end, depth, the content type when there is none).
        stack = [(0, len(self._data), 0, "text/plain")]
        while stack and seen < MAX_PARTS:
            seen += 1
            start, end, depth, default = stack.pop()
            header = _read_header(self._data, start, end, default)
            boundary = header.parameters.get("boundary", "")
            if header.content_type.startswith("multipart/") and boundary and depth < MAX_DEPTH:
                inner = "message/rfc822" if header.content_type == "multipart/digest" else "text/plain"
                children = self._children(header.body, end, boundary.encode("utf-8", "replace"), MAX_PARTS - seen)
                stack += [(first, last, depth + 1, inner) for first, last in reversed(children)]
            elif header.content_type == "message/rfc822" and header.encoding != "base64" and depth < MAX_DEPTH:
                stack.append((header.body, end, depth + 1, "text/plain"))
            else:
                charset = header.parameters.get("charset", "")
                yield Part(header.content_type, charset, header.encoding, header.filename, header.body, end)

    def _children(self, start: int, end: int, boundary: bytes, most: int) -> list[tuple[int, int]]:
        """Give where the body parts of a multipart stand (RFC 2046 5.1.1); preamble and epilogue are none."""
        delimiter = b"\r\n--" + boundary
        found: list[tuple[int, int]] = []
        opened = -1
        position = max(start - 2, 0)  # the line end before the first delimiter may be that of the empty line
        while len(found) < most and self._delimiters < MAX_DELIMITERS:
            at = self._data.find(delimiter, position, end)
            if at < 0:
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
        if 0 <= opened < end and len(found) < most:  # not closed: what is there counts
            found.append((opened, end))
        return found


def _read_header(data: bytes, start: int, end: int, default: str) -> _Header:
    if data.startswith(b"\r\n", start):
        return _Header(default, {}, "", "", start + 2)
    stop = data.find(b"\r\n\r\n", start, end)
    body = end if stop < 0 else stop + 4
    head = b"\n" + data[start : end if stop < 0 else stop + 2]
    values: dict[bytes, str] = {}
    for match in _FIELD.finditer(head.lower()):
        value = head[match.start(2) : match.end(2)][:_MAX_VALUE].replace(b"\r\n", b"")
        values.setdefault(match.group(1), value.decode("utf-8", "replace"))
    if not values:
        return _Header(default, {}, "", "", body)
    kind = values.get(b"type", "")
    parameters = _parameters(kind)
    content_type = kind.partition(";")[0].strip().lower() if "/" in kind else default
    disposition = _parameters(values.get(b"disposition", ""))
    filename = disposition.get("filename") or parameters.get("name", "")
    encoding = values.get(b"transfer-encoding", "").strip().lower()
    return _Header(content_type, parameters, encoding, decode_words(filename), body)


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
