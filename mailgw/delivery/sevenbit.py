"""8-bit text made 7-bit MIME, for peers that do not offer 8BITMIME (RFC 6152 3, a gateway transformation). No I/O.

Only what holds octets over 127 is changed: text becomes quoted-printable, anything else base64; what stands around it
loses its `Content-Transfer-Encoding: 8bit`. Text without MIME fields gets those of RFC 1428 3.
"""

from __future__ import annotations

import base64
import binascii
import re
from email.message import Message as Fields

from mailgw.mail.message import Message

# Nobody has more; the first bounds the stack, the second the time.
MAX_DEPTH = 50
MAX_PARTS = 1000
_ENTITIES = ("message/rfc822", "message/global")
# Changed content would break what they are there for (RFC 1847 2.1), or may not be encoded at all (RFC 2046 5.2).
_UNTOUCHABLE = ("multipart/signed", "multipart/encrypted", "message/")
_NON_ASCII = re.compile(rb"[\x80-\xff]")


class NotConvertible(Exception):
    """It cannot be made 7-bit; the text says why, to go behind 'it cannot be converted: '."""


def to_seven_bit(data: bytes) -> bytes:
    """Convert a whole message (CRLF line ends). Raises NotConvertible."""
    return _Converter().entity(data, "text/plain", 0, whole=True)


class _Converter:
    """Converts one message; it counts its parts."""

    def __init__(self) -> None:
        self._parts = 0

    def entity(self, data: bytes, default: str, depth: int, *, whole: bool) -> bytes:
        """Convert a message (`whole`) or a part: its header and its body."""
        if data.isascii():
            return data
        self._parts += 1
        if depth > MAX_DEPTH or self._parts > MAX_PARTS:
            raise NotConvertible(f"it has more than {MAX_PARTS} parts, or more than {MAX_DEPTH} levels of them")
        entity = Message.from_bytes(data)
        if not entity.head.isascii():
            raise NotConvertible("its header is not ASCII")
        if not entity.head.endswith(b"\r\n\r\n") and entity.head != b"\r\n":
            raise NotConvertible("its header has no end")
        body = data[len(entity.head) :]
        declared = Fields()
        declared["Content-Type"] = _value(entity, "Content-Type") or default
        kind = declared.get_content_type()
        encoding = _value(entity, "Content-Transfer-Encoding").lower()
        if encoding in ("base64", "quoted-printable"):
            raise NotConvertible(f"a part holds 8-bit text, though it says {encoding}")
        if kind in _ENTITIES:
            return _head(entity) + b"\r\n" + self.entity(body, "text/plain", depth + 1, whole=True)
        if kind.startswith(_UNTOUCHABLE):
            raise NotConvertible(f"it holds 8-bit text in {kind}")
        if kind.startswith("multipart/"):
            boundary = declared.get_boundary("")
            if not boundary:
                raise NotConvertible(f"a {kind} names no boundary")
            default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
            return _head(entity) + b"\r\n" + self._between(body, boundary, default, depth)
        return _leaf(entity, body, kind, whole)

    def _between(self, body: bytes, boundary: str, default: str, depth: int) -> bytes:
        """Convert what stands between the delimiters (RFC 2046 5.1.1); nobody reads what stands before and behind."""
        delimiter = re.compile(rb"(?:\A|(?<=\r\n))--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:\r\n|\Z)")
        converted: list[bytes] = []
        position, inside = 0, False

        def convert(text: bytes) -> bytes:
            return self.entity(text, default, depth + 1, whole=False) if inside else _NON_ASCII.sub(b"?", text)

        for match in delimiter.finditer(body):
            converted += [convert(body[position : match.start()]), match.group()]
            position, inside = match.end(), match.group(1) is None
            if not inside:
                break
        return b"".join((*converted, convert(body[position:])))


def _leaf(entity: Message, body: bytes, kind: str, whole: bool) -> bytes:
    fields = [_head(entity)]
    if whole and entity.get("MIME-Version") is None:
        fields.append(b"MIME-Version: 1.0\r\n")
    if entity.get("Content-Type") is None:
        fields.append(b"Content-Type: text/plain; charset=unknown-8bit\r\n")
    if kind.startswith("text/"):
        encoding, encoded = b"quoted-printable", _quoted(body)
    else:
        # RFC 2046 5.1.1: the line end before a delimiter is the delimiter's, not the part's.
        encoding, encoded = b"base64", base64.encodebytes(body if whole else body.removesuffix(b"\r\n"))
        encoded = encoded.replace(b"\n", b"\r\n")
    return b"".join((*fields, b"Content-Transfer-Encoding: ", encoding, b"\r\n\r\n", encoded))


def _quoted(text: bytes) -> bytes:
    ends = text.count(b"\r\n")
    if ends == text.count(b"\n") == text.count(b"\r"):
        encoded = binascii.b2a_qp(text, istext=True)
    else:  # RFC 2045 6.7: a CR or LF alone is no line end
        encoded = b"\r\n".join(binascii.b2a_qp(line) for line in text.split(b"\r\n"))
    # Without a line end in sight it breaks lines by LF.
    return encoded.replace(b"=\n", b"=\r\n")


def _head(entity: Message) -> bytes:
    """The header without the encoding, which is another now, and without the empty line."""
    kept: list[bytes] = []
    position = 0
    for field in entity.fields:
        start = entity.head.index(field.raw, position)
        end = start + len(field.raw)
        kept.append(entity.head[position : start if field.key == "content-transfer-encoding" else end])
        position = end
    return b"".join(kept)


def _value(entity: Message, name: str) -> str:
    field = entity.get(name)
    return "" if field is None else field.text
