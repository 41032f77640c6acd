"""Who of ours wrote to whom, as it is remembered. Only hashes are kept, no names."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Protocol

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.filters.domains import registered_domain
from mailgw.filters.identities import domain_of
from mailgw.mail.address import Mailbox
from mailgw.mail.transaction import Transaction
from mailgw.state.database import Database

TABLES = (
    "CREATE TABLE correspondents (theirs BLOB NOT NULL, ours BLOB NOT NULL, last REAL NOT NULL,"
    " PRIMARY KEY (theirs, ours)) WITHOUT ROWID; CREATE INDEX correspondents_last ON correspondents (last);"
    "CREATE TABLE sent (id BLOB NOT NULL, domain BLOB NOT NULL, last REAL NOT NULL, PRIMARY KEY (id, domain))"
    " WITHOUT ROWID; CREATE INDEX sent_last ON sent (last)",
)

MAX_RECIPIENTS = 50
"""Recipients of one message of ours that are kept: a circular to thousands makes nobody a correspondent."""
MESSAGE_ID = re.compile(r"<[^<>\s]{1,900}>")
_PRUNE = 3600.0


@frozen
class Known:
    """What is known of a sender: whether this message's recipients, or others of ours, wrote to it, and whether the
    message answers one that went to its domain."""

    to_recipient: bool = False
    to_others: bool = False
    reply: bool = False


class Correspondence(Protocol):
    """Who wrote to whom."""

    async def look_up(
        self, author: Mailbox, recipients: Sequence[Mailbox], references: Sequence[str], since: tuple[float, float]
    ) -> Known:
        """Say what is known of `author`. `since` are the times before which a correspondence and a message of ours no
        longer count. Raises TemporaryFailure."""
        ...


class NoCorrespondence:
    """Knows nobody: for the command line."""

    async def look_up(
        self, author: Mailbox, recipients: Sequence[Mailbox], references: Sequence[str], since: tuple[float, float]
    ) -> Known:
        return Known()


class StateCorrespondence:
    """A `Correspondence` in a database of state. What our people submit is noted in it."""

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self._database = database
        self._clock = clock
        self._pruned = 0.0

    def note(self, transaction: Transaction) -> None:
        """Note what a user of ours sends, off the way of the mail."""
        message, sender = transaction.message, transaction.envelope.reverse_path
        if message is None or sender is None or not transaction.client.identity:
            return
        now = self._clock.seconds()
        recipients = [recipient.forward_path for recipient in transaction.envelope.recipients[:MAX_RECIPIENTS]]
        pairs = [(_address(theirs), _address(sender), now) for theirs in recipients]
        field = message.get("Message-ID")
        ids = MESSAGE_ID.findall(field.text)[:1] if field is not None else []
        domains = {registered_domain(domain_of(theirs)) for theirs in recipients}
        sent = [(_hash(message_id), _hash(domain), now) for message_id in ids for domain in domains]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO correspondents VALUES (?, ?, ?)", pairs)
            connection.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?)", sent)

        self._database.note(work)

    def prune(self, since: tuple[float, float]) -> None:
        """Forget what no longer counts, once an hour."""
        now = self._clock.seconds()
        if 0 <= now - self._pruned < _PRUNE:
            return
        self._pruned = now

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM correspondents WHERE last < ?", since[:1])
            connection.execute("DELETE FROM sent WHERE last < ?", since[1:])

        self._database.note(work)

    async def look_up(
        self, author: Mailbox, recipients: Sequence[Mailbox], references: Sequence[str], since: tuple[float, float]
    ) -> Known:
        self.prune(since)
        ours = {_address(mailbox) for mailbox in recipients}
        theirs, domain = _address(author), _hash(registered_domain(domain_of(author)))
        ids = [_hash(message_id) for message_id in references]

        def work(connection: sqlite3.Connection) -> Known:
            wrote = connection.execute(
                "SELECT ours FROM correspondents WHERE theirs = ? AND last >= ?", (theirs, since[0])
            ).fetchall()
            return Known(
                any(mailbox in ours for (mailbox,) in wrote),
                bool(wrote),
                _went_there(connection, ids, domain, since[1]) if ids else False,
            )

        return await self._database.read(work)


def _went_there(connection: sqlite3.Connection, ids: Iterable[bytes], domain: bytes, since: float) -> bool:
    """Whether one of these messages of ours went to the domain: who finds its id on a list writes from another."""
    query = "SELECT 1 FROM sent WHERE id = ? AND domain = ? AND last >= ?"
    return any(connection.execute(query, (each, domain, since)).fetchone() for each in ids)


def _address(mailbox: Mailbox) -> bytes:
    return _hash(f"{mailbox.local_part.lower()}@{domain_of(mailbox)}")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:12]
