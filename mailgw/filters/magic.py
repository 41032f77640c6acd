"""What a file is, by its first octets: what a name or a Content-Type says, anybody can write."""

from __future__ import annotations

import re

HEAD = 1024
"""Octets of a file that are looked at."""
PROGRAMS = frozenset(("exe", "elf", "macho", "class", "lnk"))
ARCHIVES = frozenset(("zip", "rar", "7z", "gz", "bz2", "xz", "zst", "cab", "arj", "ace", "lzh", "tar", "wim"))

# By how a file begins. The names are the usual extensions, or what the kind is called.
_BEGINNINGS: dict[bytes, str] = {
    b"MZ": "exe",
    b"\x7fELF": "elf",
    b"\xfe\xed\xfa\xce": "macho",
    b"\xfe\xed\xfa\xcf": "macho",
    b"\xce\xfa\xed\xfe": "macho",
    b"\xcf\xfa\xed\xfe": "macho",
    b"\xca\xfe\xba\xbe": "class",  # Java's, and a Mach-O for several processors
    b"L\0\0\0\x01\x14\x02\0": "lnk",
    b"#!": "script",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # without members
    b"Rar!\x1a\x07": "rar",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"MSCF": "cab",
    b"\x60\xea": "arj",
    b"MSWIM\0\0\0": "wim",
    b"conectix": "vhd",
    b"vhdxfile": "vhd",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "ole",  # Office before 2007, Outlook's messages, Windows installers
    b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d": "onenote",
    b"{\\rt": "rtf",  # Word reads it with any letter behind
    b"ITSF": "chm",
    b"FWS": "swf",
    b"CWS": "swf",
    b"ZWS": "swf",
    b"\x89PNG\r\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"ID3": "mp3",
    b"OggS": "ogg",
    b"%!PS": "ps",
}
_BY_FIRST: dict[int, tuple[tuple[bytes, str], ...]] = {
    first: tuple((b, kind) for b, kind in _BEGINNINGS.items() if b[0] == first)
    for first in {beginning[0] for beginning in _BEGINNINGS}
}
# Further in: where, what, and what it is then.
_INSIDE = (
    (4, b"ftyp", "mp4"),
    (7, b"**ACE**", "ace"),
    (2, b"-lh", "lzh"),
    (257, b"ustar", "tar"),
)
_RIFF = {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}
_HTML = re.compile(
    rb"\s*(?:<!--.{0,500}?-->\s*|<\?xml[^>]{0,200}>\s*)*<(?:!doctype\s+html|html|head|body|script|svg)[\s>]",
    re.IGNORECASE | re.DOTALL,
)


def find_kind(head: bytes) -> str:
    """Give what a file is by its first HEAD octets: `exe`, `zip`, `pdf`, ...; an empty string when they do not say.

    Text of any kind has no such beginning, but for HTML (and SVG, which is as able), RTF and scripts.
    """
    if not head:
        return ""
    for beginning, kind in _BY_FIRST.get(head[0], ()):
        if head.startswith(beginning) and (kind not in ("bmp", "exe", "arj") or _is_binary(head)):
            return kind
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], "")
    for offset, mark, kind in _INSIDE:
        if head.startswith(mark, offset):
            return kind
    if b"%PDF-" in head[:HEAD]:  # readers look for it in the first 1,024 octets
        return "pdf"
    return "html" if b"<" in head and _HTML.match(head.removeprefix(b"\xef\xbb\xbf")) else ""


def _is_binary(head: bytes) -> bool:
    """Whether it holds octets that text does not, where two letters alone would say too little."""
    return any(octet < 9 or octet > 126 for octet in head[2:64])
