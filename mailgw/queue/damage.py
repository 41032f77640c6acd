"""Damage of the queue's files that is no crash's: how it is told, and what a person can do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

from mailgw.queue.disk import make_directory
from mailgw.queue.schema import DATABASE
from mailgw.queue.store import QueueUnusable

# https://www.sqlite.org/fileformat2.html, 4.1 WAL File Format.
_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = {0x377F0682: "<6I", 0x377F0683: ">6I"}
"""Each with the byte order of its checksums."""


def log_path(directory: Path) -> Path:
    return directory / f"{DATABASE}-wal"


def probe(connection: sqlite3.Connection) -> None:
    """Read something of each table: to check all of a long queue would keep it from starting. Raises sqlite3.Error."""
    for table, column in (("messages", "info"), ("content_files", "head"), ("deliveries", "last")):
        connection.execute(f"SELECT {column} FROM {table} NOT INDEXED LIMIT 1").fetchall()
    connection.execute("SELECT due FROM deliveries INDEXED BY due LIMIT 1").fetchall()


def commits(directory: Path) -> list[int]:
    """Give the frames of the write-ahead log, from 1, that end a commit of those since it was last begun anew, by what
    they say of themselves. Blocks. Raises OSError."""
    try:
        file = log_path(directory).open("rb")
    except FileNotFoundError:
        return []
    with file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return []
        _, _, page_size, _, *salts, _, _ = _HEADER.unpack(header)
        sound = _is_sound(header)
        if not sound:
            page_size = _page_size(directory)
        found: list[int] = []
        number = 0
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            number += 1
            _, pages, *their_salts, _, _ = _FRAME.unpack(frame)
            if number == 1 and not sound:
                salts = their_salts
            if pages and their_salts == salts:
                found.append(number)
            file.seek(page_size, os.SEEK_CUR)
        return found


def lost_commits(connection: sqlite3.Connection, found: list[int]) -> int:
    """Say how many of the `commits` that stood in the log when the database was opened it has passed over.

    SQLite ends where a frame does not fit its checksum, without a word. One commit may be behind that after a crash: it
    was under way, nobody heard of it. Before another is begun, the one before is synced: two are damage. Raises
    sqlite3.Error.
    """
    (_, frames, _) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    behind = sum(number > max(frames, 0) for number in found)
    return behind if behind > 1 else 0


def keep(directory: Path, contents: Sequence[Path], now: float) -> Path:
    """Copy the log before it is written over, and put the contents that no row holds beside it: there may be more in
    them. Give the folder. Blocks. Raises OSError."""
    folder = directory / f"damaged-{int(now)}"
    make_directory(folder)
    shutil.copyfile(log_path(directory), folder / f"{DATABASE}-wal")
    for content in contents:
        content.rename(folder / content.name)
    return folder


def check_place(directory: Path, contents: Sequence[str]) -> None:
    """Raise QueueUnusable when the database is not there, but what belongs to it is: whoever lost it, or moved it,
    wants to keep that. A crash never leaves it so, since the database is made first. Blocks. Raises OSError."""
    path, log = directory / DATABASE, log_path(directory)
    if path.exists() and path.stat().st_size > 0:
        return
    if contents or (log.exists() and log.stat().st_size > 0):
        raise QueueUnusable(
            f"there is no queue in {path}, but what belongs to one: {len(contents)} contents in "
            f"{directory / 'content'}, or {log}. Put the database back, or move these away to start with an empty queue"
        )


def advice(directory: Path, error: Exception) -> str:
    """Say what to do about an error of the database; nothing when that is not damaged."""
    if getattr(error, "sqlite_errorcode", None) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return ""
    return (
        f". The file is damaged: look for the cause (the disk, its controller, memory) before you go on. Keep a copy "
        f"of {directory}. Then move it away, to OLD, and have `mailgw queue salvage OLD` take what can still be read "
        f"of it into a new queue; `sqlite3 OLD/{DATABASE} .recover` may read what that cannot"
    )


def _is_sound(header: bytes) -> bool:
    magic, *_, first, second = _HEADER.unpack(header)
    if magic not in _MAGIC:
        return False
    one = other = 0
    words = iter(struct.unpack(_MAGIC[magic], header[:24]))
    for word in words:
        one = (one + word + other) & 0xFFFFFFFF
        other = (other + next(words) + one) & 0xFFFFFFFF
    return (one, other) == (first, second)


def _page_size(directory: Path) -> int:
    with (directory / DATABASE).open("rb") as file:
        size: int
        (size,) = struct.unpack(">H", file.read(18)[16:])
    return 65536 if size == 1 else size
