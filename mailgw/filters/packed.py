"""The directories of RAR and 7z archives, as far as names, sizes and passwords go."""

from __future__ import annotations

import lzma
import re
import struct
from collections.abc import Iterator

from mailgw.filters.listing import MAX_MEMBERS, MAX_NAME, Listing, Member, UnreadableError

_MAX_BLOCKS = 4 * MAX_MEMBERS
_MAX_HEADER = 1024 * 1024
_RAR5 = b"Rar!\x1a\x07\x01\0"
_AES = b"\x06\xf1\x07\x01"  # 7zAES among the methods of 7z's Methods.txt
_NAMES = 0x11  # the property of a 7z directory that holds the names
_MAX_TRIES = 64


def list_rar(data: bytes) -> Listing:
    """List a RAR archive of format 4 or 5. Raises UnreadableError."""
    return _list(list(_rar5(data) if data.startswith(_RAR5) else _rar4(data)))


def _list(found: list[Member | None]) -> Listing:
    """None stands for a header that is encrypted."""
    members = tuple(m for m in found if m is not None)
    unlisted = f"more than {MAX_MEMBERS} members" if len(members) > MAX_MEMBERS else ""
    return Listing("rar", members[:MAX_MEMBERS], encrypted=None in found, unlisted=unlisted)


def _rar4(data: bytes) -> Iterator[Member | None]:
    position = 7
    for _ in range(_MAX_BLOCKS):
        if position + 7 > len(data):
            return
        _, kind, flags, size = struct.unpack_from("<HBHH", data, position)
        if size < 7 or not 0x72 <= kind <= 0x7B:
            raise UnreadableError("a broken RAR block")
        if kind == 0x73 and flags & 0x80:
            yield None
            return
        more = 0
        if (flags & 0x8000 or kind == 0x74) and position + 11 <= len(data):
            more = struct.unpack_from("<I", data, position + 7)[0]
        if kind == 0x74 and position + 32 <= len(data):
            (unpacked,) = struct.unpack_from("<I", data, position + 11)
            (length,) = struct.unpack_from("<H", data, position + 26)
            start = position + (40 if flags & 0x100 else 32)
            name = data[start : start + min(length, MAX_NAME)].partition(b"\0")[0]
            yield Member(name.decode("utf-8", "replace"), unpacked, more, bool(flags & 4))
        if kind == 0x7B:
            return
        position += size + more


def _rar5(data: bytes) -> Iterator[Member | None]:
    position = len(_RAR5)
    for _ in range(_MAX_BLOCKS):
        if position + 7 > len(data):
            return
        size, start = _vint(data, position + 4)
        kind, at = _vint(data, start)
        flags, at = _vint(data, at)
        extra, at = _vint(data, at) if flags & 1 else (0, at)
        packed, at = _vint(data, at) if flags & 2 else (0, at)
        if kind == 4:
            yield None
            return
        if kind == 2:
            yield _rar5_file(data, at, start + size - extra, start + size, packed)
        if kind == 5:
            return
        position = start + size + packed


def _rar5_file(data: bytes, at: int, extra: int, end: int, packed: int) -> Member:
    flags, at = _vint(data, at)
    size, at = _vint(data, at)
    _, at = _vint(data, at)
    at += (4 if flags & 2 else 0) + (4 if flags & 4 else 0)
    _, at = _vint(data, at)
    _, at = _vint(data, at)
    length, at = _vint(data, at)
    name = data[at : at + min(length, MAX_NAME)].decode("utf-8", "replace")
    encrypted = False
    for _ in range(16):  # the records behind: the first kind is that of encryption
        if not 0 < extra < end:
            break
        record, extra = _vint(data, extra)
        kind, _ = _vint(data, extra)
        encrypted = encrypted or kind == 1
        extra += record
    return Member(name, size, packed, encrypted)


def _vint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of RAR 5: seven bits an octet, the lowest first. Give it with the offset behind."""
    value = 0
    for n in range(10):
        if at >= len(data):
            break
        octet = data[at]
        at += 1
        value |= (octet & 127) << 7 * n
        if octet < 128:
            return value, at
    raise UnreadableError("a broken RAR header")


def list_7z(data: bytes) -> Listing:
    """List a 7z archive: the names, without sizes. Its header is unpacked when it is packed with LZMA.

    Raises UnreadableError.
    """
    if len(data) < 32:
        raise UnreadableError("a 7z archive without header")
    offset, size = struct.unpack_from("<QQ", data, 12)
    if not size:
        return Listing("7z")
    header = data[32 + offset : 32 + offset + min(size, _MAX_HEADER)]
    if not header:
        raise UnreadableError("a 7z archive that ends before its directory")
    encrypted = _AES in header
    if header[0] == 0x17:  # a packed header; the encryption of its own stream stands in it in clear
        if encrypted:
            return Listing("7z", encrypted=True)
        header = _unpack_header(data, header)
        encrypted = _AES in header
    names = _names(header)
    unlisted = f"more than {MAX_MEMBERS} members" if len(names) > MAX_MEMBERS else ""
    members = tuple(Member(name[:MAX_NAME], 0, 0, encrypted) for name in names[:MAX_MEMBERS])
    return Listing("7z", members, unlisted=unlisted)


def _names(header: bytes) -> list[str]:
    """Find the names in a 7z directory: a list of UTF-16 strings, whose length stands in front of it.

    They are looked for from behind, where they stand, without reading all that is in front of them.
    """
    at = len(header)
    for _ in range(_MAX_TRIES):
        at = header.rfind(_NAMES, 0, at)
        if at < 0:
            break
        size, start = _number(header, at + 1)
        text = header[start + 1 : start + size]
        if size < 5 or len(text) != size - 1 or size % 2 == 0 or header[start] or not text.endswith(b"\0\0"):
            continue
        try:
            return text.decode("utf-16-le").split("\0")[:-1]
        except UnicodeDecodeError:
            continue
    raise UnreadableError("a 7z directory without names")


def _unpack_header(data: bytes, header: bytes) -> bytes:
    """Unpack a header that is one LZMA stream: what every 7-Zip writes."""
    found = re.match(rb"\x17\x06(?P<rest>.*)", header, re.DOTALL)
    if not found:
        raise UnreadableError("a 7z directory in an unknown form")
    at = 2
    position, at = _number(header, at)
    _, at = _number(header, at)
    if header[at : at + 1] != b"\x09":
        raise UnreadableError("a 7z directory in an unknown form")
    packed, at = _number(header, at + 1)
    method = header.find(b"\x23\x03\x01\x01\x05", at)
    if method < 0:
        raise UnreadableError("a 7z directory packed in an unknown way")
    properties = header[method + 5 : method + 10]
    if len(properties) < 5:
        raise UnreadableError("a 7z directory in an unknown form")
    stream = data[32 + position : 32 + position + packed]
    value, dictionary = properties[0], struct.unpack("<I", properties[1:])[0]
    lzma1 = {
        "id": lzma.FILTER_LZMA1,
        "lc": value % 9,
        "lp": value // 9 % 5,
        "pb": value // 45,
        "dict_size": min(max(dictionary, 4096), 16 * 1024 * 1024),
    }
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma1]).decompress(stream, _MAX_HEADER)
    except (lzma.LZMAError, ValueError):
        raise UnreadableError("a 7z directory that cannot be unpacked") from None


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of 7z: the first octet's leading ones say how many follow. Give it with the offset behind."""
    if at >= len(data):
        raise UnreadableError("a 7z directory that ends early")
    first = data[at]
    count = next((n for n in range(8) if not first & (0x80 >> n)), 8)
    rest = data[at + 1 : at + 1 + count]
    high = first & ((0x80 >> count) - 1) if count < 8 else 0
    return int.from_bytes(rest, "little") | high << 8 * count, at + 1 + count
