"""Archives: what is in them, listed from their directories within bounds, never extracted.

Archives in a zip are listed too, down to MAX_DEPTH, for which what they need of MAX_UNPACKED octets in all is unpacked.

The readers are own ones, of the directories only. `zipfile` makes an object of each of half a million members before
anybody can stop it, `tarfile` backtracks in hostile headers (CVE-2024-6232, in the Pythons that we run on), and for RAR
and 7z the standard library has none. Of a compressed stream (tar.gz) the first MAX_UNPACKED octets are unpacked, in
memory.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from mailgw.filters.listing import MAX_MEMBERS, MAX_NAME, Listing, Member, UnreadableError
from mailgw.filters.magic import HEAD, find_kind
from mailgw.filters.packed import list_7z, list_rar

MAX_UNPACKED = 4 * 1024 * 1024
MAX_DEPTH = 5
MAX_NESTED = 50
_MAX_LOOKS = 4 * MAX_MEMBERS
BOMB_RATIO = 200
BOMB_SIZE = 100 * 1024 * 1024
"""Octets unpacked from which on BOMB_RATIO makes a bomb: a small file of zeros packs as well, and harms nobody."""
_MEMORY = 64 * 1024 * 1024

_ZIP_END = struct.Struct("<4s4H2IH")
_ZIP_ENTRY = struct.Struct("<4s6H3I5H2I")


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def list_archive(kind: str, data: bytes, name: str = "") -> Listing | None:
    """List an archive, or give None when it is of no kind that can be listed. Never raises.

    `kind` is `magic.find_kind`'s; `name` is its file name, of which that of a compressed file is made.
    """
    try:
        if kind in _STREAMS:
            return _list_stream(kind, data, name)
        return _READERS[kind](data) if kind in _READERS else None
    except UnreadableError as error:
        return Listing(kind, unlisted=str(error))
    except (struct.error, IndexError):
        return Listing(kind, unlisted="it ends early, or is broken")


def _list_zip(data: bytes) -> Listing:
    """Read the central directory (APPNOTE 4.3.12)."""
    end = data.rfind(b"PK\x05\x06", max(len(data) - 65_557, 0))
    if end < 0:
        raise UnreadableError("a zip without directory")
    _, _, _, _, count, size, offset, _ = _ZIP_END.unpack_from(data, end)
    start = end - size  # right for archives with something in front too, for which `offset` is not
    if size == 0xFFFFFFFF or start < 0 or (count and data[start : start + 4] != b"PK\x01\x02"):
        start = offset
    if count and data[start : start + 4] != b"PK\x01\x02":
        raise UnreadableError("a zip whose directory is not where it should be")
    members: list[Member] = []
    offsets: set[int] = set()
    while len(members) <= MAX_MEMBERS and data[start : start + 4] == b"PK\x01\x02":
        entry = _ZIP_ENTRY.unpack_from(data, start)
        flags, packed, unpacked, length, extra, comment, local = *(entry[i] for i in (3, 8, 9, 10, 11, 12)), entry[16]
        start += _ZIP_ENTRY.size
        raw = data[start : start + min(length, MAX_NAME)]
        name = raw.decode("utf-8" if flags & 0x800 else "cp437", "replace")
        start += length + extra + comment
        members.append(Member(name, unpacked, packed, bool(flags & 1), local, entry[4]))
        offsets.add(local)
    bomb = _bomb(members, len(data))
    if len(offsets) < len(members):
        bomb = bomb or "members share their content"
    return _listing("zip", members, bomb)


def list_nested(data: bytes, listing: Listing) -> Iterator[tuple[str, Listing]]:
    """List the archives in a zip, and those in them: path and listing of each, the outer ones first. Never raises."""
    waiting = deque([(data, listing, "", 1)])
    left = MAX_UNPACKED
    count = looks = 0
    while waiting:
        outer, found, path, depth = waiting.popleft()
        for member in found.members if found.kind == "zip" else ():
            looks += 1
            if count >= MAX_NESTED or looks > _MAX_LOOKS or left <= 0:
                return
            head = _unpack(outer, member, HEAD)
            kind = find_kind(head)
            if kind not in _READERS and kind not in _STREAMS:
                continue
            inner = _unpack(outer, member, left)
            left -= len(inner)
            count += 1
            nested = list_archive(kind, inner, member.name)
            if nested is not None:
                yield f"{path}{member.name}", nested
                if depth < MAX_DEPTH:
                    waiting.append((inner, nested, f"{path}{member.name}/", depth + 1))


def _unpack(data: bytes, member: Member, size: int) -> bytes:
    """Give the beginning of a member of a zip; nothing where it cannot be had (APPNOTE 4.3.7)."""
    header = data[member.offset : member.offset + 30] if member.offset >= 0 else b""
    if member.encrypted or header[:4] != b"PK\x03\x04" or len(header) < 30:
        return b""
    name, extra = struct.unpack_from("<2H", header, 26)
    start = member.offset + 30 + name + extra
    # So many octets are enough for that many (RFC 1951 3.2.4), whatever the directory says.
    packed = data[start : start + min(member.packed, size + size // 64 + 1024)]
    if member.method == 0:
        return packed[:size]
    if member.method != 8:
        return b""
    try:
        return zlib.decompressobj(-15).decompress(packed, size)
    except zlib.error:
        return b""


def _listing(kind: str, members: list[Member], bomb: str = "") -> Listing:
    unlisted = f"more than {MAX_MEMBERS} members" if len(members) > MAX_MEMBERS else ""
    return Listing(kind, tuple(members[:MAX_MEMBERS]), unlisted=unlisted, bomb=bomb)


def _bomb(members: list[Member], size: int) -> str:
    total = sum(m.size for m in members)
    if total >= BOMB_SIZE and total > BOMB_RATIO * max(size, 1):
        return f"{size} octets become {total}"
    return ""


def _list_tar(data: bytes) -> Listing:
    """Read the headers (POSIX ustar), a long name of GNU tar before its file included."""
    return _listing("tar", list(_tar_members(data)))


def _tar_members(data: bytes) -> Iterator[Member]:
    position = 0
    long_name = ""
    for _ in range(2 * MAX_MEMBERS + 2):
        header = data[position : position + 512]
        if len(header) < 512 or not header.strip(b"\0"):
            return
        size = _tar_number(header[124:136])
        kind = header[156:157]
        position += 512
        if kind == b"L":
            long_name = _tar_text(data[position : position + min(size, MAX_NAME)])
        elif kind not in (b"x", b"g", b"K"):
            prefix = _tar_text(header[345:500]) if header[257:262] == b"ustar" else ""
            name = long_name or "/".join(filter(None, (prefix, _tar_text(header[:100]))))
            long_name = ""
            if kind != b"5":
                yield Member(name, size, size)
        position += (size + 511) // 512 * 512


def _tar_number(field: bytes) -> int:
    if field[:1] == b"\x80":  # GNU: binary
        return int.from_bytes(field[1:])
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise UnreadableError("a tar with a broken header") from None


def _tar_text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _list_stream(kind: str, data: bytes, name: str) -> Listing:
    """List a compressed file: the one file that it holds, or the tar in it."""
    try:
        unpacked = _STREAMS[kind]().decompress(data, MAX_UNPACKED)
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError):
        raise UnreadableError("it cannot be unpacked") from None
    bomb = ""
    if len(unpacked) >= MAX_UNPACKED and len(unpacked) > BOMB_RATIO * len(data):
        bomb = f"{len(data)} octets become more than {MAX_UNPACKED}"
    if find_kind(unpacked[:HEAD]) == "tar":
        members = list(_tar_members(unpacked))
        unlisted = f"what is behind {MAX_UNPACKED} octets" if len(unpacked) >= MAX_UNPACKED else ""
        listing = _listing(kind, members, bomb)
        return Listing(kind, listing.members, unlisted=listing.unlisted or unlisted, bomb=bomb)
    inner = name.rpartition(".")[0] if "." in name else name
    return Listing(kind, (Member(inner, len(unpacked), len(data)),), bomb=bomb)


_STREAMS: Mapping[str, Callable[[], _Decompressor]] = {
    "gz": lambda: zlib.decompressobj(31),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_MEMORY),
}
_READERS: Mapping[str, Callable[[bytes], Listing]] = {
    "zip": _list_zip,
    "tar": _list_tar,
    "rar": list_rar,
    "7z": list_7z,
}
