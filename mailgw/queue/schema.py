"""The queue's database: its tables, and how a connection to it is set up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from mailgw.queue.store import QueueUnusable

VERSION = 3
"""Stands in `PRAGMA user_version`. A change of the tables or of `codec` counts it up, and `migration` follows."""

DATABASE = "queue.db"

# Most messages are a few KB: with 8 KiB pages one needs one or two. Measured against 4 and 16 KiB: 5-10 % less CPU.
_PAGE_SIZE = 8192
# The log is written back and used again from its start at 8 MiB: bytes that are overwritten sync faster than
# bytes that are appended, since the file's size does not change.
_CHECKPOINT_PAGES = 1024
# After a burst the log is cut to this size.
_LOG_SIZE = 64 * 1024 * 1024
# INSERT ... VALUES of each number of rows up to writer.ROWS is a statement of its own: all of them stay prepared.
_STATEMENTS = 256
# Seconds to wait for another who writes: a command.
_TIMEOUT = 5.0
# RETURNING.
_MINIMUM_SQLITE = (3, 35, 0)

# Messages have a rowid: rows of a few KB are no use in the inner nodes of a tree keyed by text. Deliveries are small
# and found by their key: without one they need one tree less. The index `due` holds the destination, so that a scan
# that passes over a destination does not read its deliveries; each priority is scanned by itself. The columns with a
# default came with version 3: what people search by stands here, since a search in `messages` would read all contents.
_TABLES = """
CREATE TABLE messages (
    id TEXT NOT NULL PRIMARY KEY,
    info TEXT NOT NULL,
    prefix BLOB NOT NULL,
    content BLOB
);
CREATE TABLE content_files (
    message_id TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    head BLOB NOT NULL
);
CREATE TABLE deliveries (
    message_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    due REAL NOT NULL,
    destination TEXT NOT NULL,
    expires REAL NOT NULL,
    attempts INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    last TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    sender TEXT NOT NULL DEFAULT '',
    identity TEXT NOT NULL DEFAULT '',
    received REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
CREATE INDEX due ON deliveries (priority, due, destination);
CREATE INDEX by_destination ON deliveries (destination, due, priority);
"""


Migration = Callable[[sqlite3.Connection, int], None]
"""Brings a database to `VERSION`, from the version that is given."""


def open_database(directory: Path, migrate: Migration | None = None) -> sqlite3.Connection:
    """Open the database for writing; make it when it is not there. One of an earlier version is for who holds the
    directory, and can `migrate`. Raises QueueUnusable, sqlite3.Error."""
    if sqlite3.sqlite_version_info < _MINIMUM_SQLITE:
        raise QueueUnusable(f"the queue needs SQLite 3.35 or later; this Python has {sqlite3.sqlite_version}")
    connection = _connect(directory / DATABASE, "rwc")
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise QueueUnusable(f"{directory / DATABASE}: this file system cannot hold a write-ahead log")
        connection.execute("PRAGMA synchronous = FULL")  # each commit syncs the log: 250 rests on it
        # What is deleted becomes zeros: delivered mail is not left on the disk (see `erase`). Measured: no cost.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_SIZE}")
        version = _version(connection, directory)
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version = {VERSION};COMMIT;")
        elif version < VERSION and migrate is None:
            raise _earlier(directory, version)
        elif version < VERSION and migrate is not None:
            migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(directory: Path) -> sqlite3.Connection:
    """Open the database for reading. Raises QueueUnusable when it is of another version, sqlite3.Error."""
    connection = _connect(directory / DATABASE, "ro")
    try:
        connection.execute("PRAGMA query_only = ON")
        version = _version(connection, directory)
        if version == 0:
            raise QueueUnusable(f"{directory / DATABASE} holds no queue")
        if version < VERSION:
            raise _earlier(directory, version)
    except BaseException:
        connection.close()
        raise
    return connection


def erase(connection: sqlite3.Connection) -> bool:
    """Write the log back and cut it to nothing: until then it holds what was deleted since. False while a reader is in
    the way. Raises sqlite3.Error."""
    connection.execute("PRAGMA busy_timeout = 0")  # accepted mail does not wait for a reader
    try:
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(_TIMEOUT * 1000)}")
    return not busy


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # as_uri quotes what a URI gives a meaning; used by one thread at a time, not by the thread that makes it.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
        timeout=_TIMEOUT,
    )


def _earlier(directory: Path, version: int) -> QueueUnusable:
    return QueueUnusable(
        f"{directory / DATABASE} was written by an earlier mailgw (version {version} of the queue, this one wants "
        f"{VERSION}): start the gateway of this release, or start it again; it takes the queue on"
    )


def _version(connection: sqlite3.Connection, directory: Path) -> int:
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise QueueUnusable(
            f"{directory / DATABASE} was written by a later mailgw (version {version} of the queue, this one knows "
            f"up to {VERSION}): start that one, or let it empty the queue first"
        )
    return version
