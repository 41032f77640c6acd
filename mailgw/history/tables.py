"""The tables of the history's database (`state.database`)."""

from __future__ import annotations

FILE = "history.db"

# What is searched for stands in rows without much else; what is read of one message only is packed, in `details`.
# Message ids sort by time, so an index on them is one on the age too.
MIGRATIONS = (
    """
CREATE TABLE messages (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time REAL NOT NULL,
    service TEXT NOT NULL,
    client TEXT NOT NULL,
    sender TEXT NOT NULL,
    author TEXT NOT NULL,
    recipients TEXT NOT NULL,
    subject TEXT NOT NULL,
    message_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    action TEXT NOT NULL,
    score REAL,
    reply TEXT NOT NULL,
    parent TEXT NOT NULL
);
CREATE INDEX messages_time ON messages (time);
CREATE TABLE details (id TEXT NOT NULL PRIMARY KEY, facts BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE copies (id TEXT NOT NULL PRIMARY KEY, original TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX copies_original ON copies (original);
CREATE TABLE fates (
    message TEXT NOT NULL,
    time REAL NOT NULL,
    event TEXT NOT NULL,
    recipient TEXT NOT NULL,
    destination TEXT NOT NULL,
    remote TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL
);
CREATE INDEX fates_message ON fates (message, time)
""",
)
