"""Greylisting: what is doubtful has to come again, which programs that only want to get rid of their mail do not do.

A sender is known by the domain that it has proven, where it has, else by its network: so a pool of servers is one
sender. A message is known by its content too, for pools whose addresses have nothing in common (features 4.10).
"""

from __future__ import annotations

import hashlib
import ipaddress
import sqlite3
from collections.abc import Iterable, Sequence

from twisted.internet.interfaces import IReactorTime

from mailgw.config.schema import Greylisting
from mailgw.filters.domains import registered_domain
from mailgw.filters.identities import domain_of, find_author, is_proven
from mailgw.mail.envelope import Recipient
from mailgw.mail.message import BytesContent, Message
from mailgw.mail.transaction import Transaction
from mailgw.state.database import Database
from mailgw.verdict.greylisting import GreylistAnswer

TABLES = (
    "CREATE TABLE greylist (key BLOB NOT NULL PRIMARY KEY, first REAL NOT NULL, passed REAL, until REAL NOT NULL)"
    " WITHOUT ROWID; CREATE INDEX greylist_until ON greylist (until)",
)

_BODY = 10 * 1024
_PRUNE = 3600.0


class StateGreylist:
    """A `greylisting.Greylist` in a database of state."""

    def __init__(self, settings: Greylisting, database: Database, clock: IReactorTime) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._pruned = 0.0

    async def ask(self, transaction: Transaction, recipients: Sequence[Recipient]) -> GreylistAnswer:
        settings = self._settings
        if not settings.enabled:
            return GreylistAnswer(detail="greylisting is off")
        exempt = sorted({e.symbol for e in transaction.evidence} & set(settings.never))
        if exempt:
            return GreylistAnswer(detail=f"not for {', '.join(exempt)}")
        source, proven = _source(transaction)
        delay = settings.delay_proven if proven else settings.delay
        body = _body(transaction.message)
        now = self._clock.seconds()

        def work(connection: sqlite3.Connection) -> float:
            self._prune(connection, now)
            waits = [
                self._wait(connection, _key(source, domain), _key(body, domain) if body else None, delay, now)
                for domain in sorted({domain_of(recipient.forward_path) for recipient in recipients})
            ]
            return max(waits, default=0.0)

        wait = await self._database.write(work)
        if wait > 0:
            return GreylistAnswer(wait, f"{source} is new here, and has to come again in {wait:.0f} s")
        return GreylistAnswer(detail=f"{source} has come again, or is known")

    def _wait(
        self, connection: sqlite3.Connection, source: bytes, body: bytes | None, delay: float, now: float
    ) -> float:
        """Give how long it has to wait: not at all when its sender is known, or one of both has waited."""
        settings = self._settings
        known = {
            key: (first, passed)
            for key, first, passed in connection.execute(
                "SELECT key, first, passed FROM greylist WHERE key IN (?, ?) AND until > ?", (source, body, now)
            )
        }
        if any(passed is not None or now - first >= delay for first, passed in known.values()):
            # The sender is known from now on; the message only where it is what waited.
            _remember(connection, ((key, now, now, now + settings.remembered) for key in known.keys() | {source}))
            return 0.0
        # A clock that was set back makes nobody wait longer than someone new.
        first = min((first for first, _ in known.values() if first <= now), default=now)
        waiting = [key for key in (source, body) if key is not None]
        _remember(connection, ((key, first, None, first + settings.window) for key in waiting))
        return max(delay - (now - first), 1.0)

    def _prune(self, connection: sqlite3.Connection, now: float) -> None:
        if not 0 <= now - self._pruned < _PRUNE:
            self._pruned = now
            connection.execute("DELETE FROM greylist WHERE until <= ?", (now,))


def _remember(connection: sqlite3.Connection, rows: Iterable[tuple[bytes, float, float | None, float]]) -> None:
    connection.executemany("INSERT OR REPLACE INTO greylist VALUES (?, ?, ?, ?)", rows)


def _source(transaction: Transaction) -> tuple[str, bool]:
    """Give who sends, and whether that is proven: the author's domain, or that of the envelope, else the network."""
    message = transaction.message
    author = find_author(message).domain if message is not None else ""
    for domain in (author, domain_of(transaction.envelope.reverse_path)):
        if domain and is_proven(domain, transaction):
            return registered_domain(domain), True
    return _network(transaction.client.address), False


def _network(address: str) -> str:
    try:
        size = 24 if ipaddress.ip_address(address).version == 4 else 64
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{address}/{size}", strict=False))


def _body(message: Message | None) -> str:
    """What tells the content from others; nothing for one in a file, which is no spam that comes in thousands."""
    if message is None or not isinstance(message.content, BytesContent):
        return ""
    start = len(message.head)
    body = message.content.data[start : start + _BODY].strip()
    return hashlib.sha256(body).hexdigest() if body else ""


def _key(what: str, domain: str) -> bytes:
    """Only a hash is kept: who writes to whom is nobody's business."""
    return hashlib.sha256(f"{what}\0{domain}".encode()).digest()[:16]
