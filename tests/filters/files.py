"""The files that evidence cases attach: made here, so that a case says in words what it is."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import re
import tarfile
import zipfile
from collections.abc import Callable

MARK = re.compile(rb"\{\{([^{}\n]+)\}\}")


def fill_in(message: bytes) -> bytes:
    """Put what they stand for in place of the marks of a case's message."""
    return MARK.sub(lambda match: _expand(match.group(1).decode()), message)


def _expand(mark: str) -> bytes:
    word, *rest = mark.split(" ")
    if word.startswith("U+"):
        return chr(int(word[2:], 16)).encode()
    if word == "repeat":
        return int(rest[0]) * (" ".join(rest[1:]) + "\n").encode()
    return base64.encodebytes(FILES[word](*rest)).rstrip(b"\n")


def make_nested(*names: str, depth: int = 2) -> bytes:
    """A zip with these members, in a zip, and so on."""
    data = make_zip(*names)
    for _ in range(depth - 1):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", data)
        data = file.getvalue()
    return data


def make_zip(*names: str, encrypted: bool = False) -> bytes:
    """A zip with these members, each of a few octets."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    data = bytearray(file.getvalue())
    if encrypted:  # the flag (APPNOTE 4.4.4 bit 0) in each entry of the directory
        position = data.find(b"PK\x01\x02")
        while position >= 0:
            data[position + 8] |= 1
            position = data.find(b"PK\x01\x02", position + 4)
    return bytes(data)


def make_bomb() -> bytes:
    """A zip of ten members of 100 MB of zeros each."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("0", bytes(1_000_000))
    data = bytearray(file.getvalue())
    position = data.find(b"PK\x01\x02")
    data[position + 24 : position + 28] = (1_000_000_000).to_bytes(4, "little")  # what it claims to become
    return bytes(data)


def make_tar(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 7
            archive.addfile(member, io.BytesIO(b"content"))
    return file.getvalue()


def make_ole(*streams: str) -> bytes:
    """What begins as a compound file, with names of streams as its directory has them."""
    return (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + b"".join(s.encode("utf-16-le") + bytes(8) for s in streams)
    )


def make_pdf(*keys: str) -> bytes:
    return f"%PDF-1.7\n1 0 obj <</Type /Catalog {' '.join(keys)} >> endobj\n%%EOF\n".encode()


FILES: dict[str, Callable[..., bytes]] = {
    "zip": make_zip,
    "zip-in-zip": lambda *names: make_nested(*names),
    "zip-encrypted": lambda *names: make_zip(*names, encrypted=True),
    "zip-bomb": make_bomb,
    "tar.gz": lambda *names: gzip.compress(make_tar(*names), mtime=0),
    "tar.bz2": lambda *names: bz2.compress(make_tar(*names)),
    "docx": lambda *names: make_zip("[Content_Types].xml", "word/document.xml", *names),
    "ole": make_ole,
    "pdf": make_pdf,
    "exe": lambda: b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff" + bytes(100),
    "cab": lambda: b"MSCF" + bytes(100),
    "png": lambda: b"\x89PNG\r\n\x1a\n" + bytes(50),
    "text": lambda *words: " ".join(words).encode(),
}
