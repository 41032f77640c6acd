"""Brings the database of an earlier release to the version of this one, all or nothing."""

from __future__ import annotations

import sqlite3
import time

from twisted.logger import Logger

from mailgw.mail.message import BytesContent
from mailgw.queue.codec import decode_message, encode_facts
from mailgw.queue.schema import VERSION

_NEW_COLUMNS = (
    "priority INTEGER NOT NULL DEFAULT 0",
    "sender TEXT NOT NULL DEFAULT ''",
    "identity TEXT NOT NULL DEFAULT ''",
    "received REAL NOT NULL DEFAULT 0",
)
_INDEXES = (
    "DROP INDEX due",
    "CREATE INDEX due ON deliveries (priority, due, destination)",
    "CREATE INDEX by_destination ON deliveries (destination, due, priority)",
)
_PAGE = 1000
# Seconds between two words about how far it is.
_INTERVAL = 5.0

_log = Logger()


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """For the holder of the directory. From 1 to 2 a message got a value more at the end of `info`, which `codec` does
    not miss; from 2 to 3 deliveries got a priority (all are people's) and what people search by. Raises sqlite3.Error:
    then all is as it was."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version < 3:
            for column in _NEW_COLUMNS:
                connection.execute(f"ALTER TABLE deliveries ADD COLUMN {column}")
            _fill(connection)
            for statement in _INDEXES:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _fill(connection: sqlite3.Connection) -> None:
    (total,) = connection.execute("SELECT count(*) FROM messages").fetchone()
    done, after, said = 0, "", time.monotonic()
    while rows := connection.execute(
        "SELECT id, info FROM messages WHERE id > ? ORDER BY id LIMIT ?", (after, _PAGE)
    ).fetchall():
        for message_id, info in rows:
            try:
                facts = encode_facts(decode_message(message_id, info, b"", BytesContent(b""), b""))
            except (ValueError, TypeError, IndexError) as error:
                _log.error(
                    "{transaction} cannot be read from the queue: {reason}",
                    event="unreadable_message",
                    transaction=message_id,
                    reason=str(error),
                )
                continue
            connection.execute(
                "UPDATE deliveries SET sender = ?, identity = ?, received = ? WHERE message_id = ?",
                (*facts, message_id),
            )
        done, (after, _) = done + len(rows), rows[-1]
        if (now := time.monotonic()) - said >= _INTERVAL:
            said = now
            _log.info(
                "the queue is taken on from an earlier release: {done} of {total} messages",
                event="queue_migration",
                done=done,
                total=total,
            )
