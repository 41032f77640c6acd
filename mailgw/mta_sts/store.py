"""Policies that were fetched, kept on disk: all workers and the command line share them, and a restart forgets none.

RFC 8461 10.2: who can hold back DNS or HTTPS now must not thereby undo what the domain has said before.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Protocol

from attrs import frozen

from mailgw.mta_sts.policy import Policy, PolicyError, parse_policy
from mailgw.state.database import Database

FILE = "mta-sts.db"
MIGRATIONS = (
    "CREATE TABLE policies (domain TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL, policy TEXT NOT NULL,"
    " fetched REAL NOT NULL, expires REAL NOT NULL, used REAL NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX policies_used ON policies (used)",
)
# More than any site writes to. Beyond that, those go that were unused for longest.
MAX_POLICIES = 10_000

# Clocks of workers agree; what is kept from later than this was fetched while the clock was wrong.
MAX_AHEAD = 3600.0

# One that ends at once is good for this: not each message fetches it.
LEAST_AGE = 60

_COLUMNS = "domain, id, policy, fetched"


@frozen
class Kept:
    """A policy as it was fetched: `id` is that of the record which announced it."""

    domain: str
    id: str
    policy: Policy
    fetched: float

    @property
    def expires(self) -> float:
        """RFC 8461 3.2: `max_age` counts from the time that it was fetched."""
        return self.fetched + max(self.policy.max_age, LEAST_AGE)


class PolicyStore(Protocol):
    """Keeps policies. All but `note_used` raise TemporaryFailure when the storage fails."""

    async def get(self, domain: str) -> Kept | None: ...

    async def put(self, kept: Kept) -> None:
        """Keep it, unless a later one is kept already."""
        ...

    def note_used(self, domain: str, now: float) -> None: ...

    async def due(self, fetched_before: float, used_after: float, limit: int) -> list[Kept]:
        """Give those that are to be refreshed, the most urgent first."""
        ...


class StatePolicyStore:
    """A PolicyStore in a database of state."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, domain: str) -> Kept | None:
        return await self._database.read(partial(read, domain=domain))

    async def put(self, kept: Kept) -> None:
        await self._database.write(partial(write, kept=kept))

    def note_used(self, domain: str, now: float) -> None:
        self._database.note(partial(use, domain=domain, now=now))

    async def due(self, fetched_before: float, used_after: float, limit: int) -> list[Kept]:
        query = f"SELECT {_COLUMNS} FROM policies WHERE fetched < ? AND used > ? ORDER BY expires LIMIT ?"
        values = (fetched_before, used_after, limit)
        return await self._database.read(lambda connection: _all(connection.execute(query, values)))


def read(connection: sqlite3.Connection, domain: str) -> Kept | None:
    """Give what is kept of a domain; it may have expired."""
    found = _all(connection.execute(f"SELECT {_COLUMNS} FROM policies WHERE domain = ?", (domain,)))
    return found[0] if found else None


def write(connection: sqlite3.Connection, kept: Kept) -> None:
    """Keep it, unless a later one is kept; make room."""
    connection.execute(
        f"INSERT INTO policies ({_COLUMNS}, expires, used) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (domain) DO UPDATE"
        " SET id = excluded.id, policy = excluded.policy, fetched = excluded.fetched, expires = excluded.expires"
        " WHERE excluded.fetched >= fetched OR fetched > excluded.fetched + ?",
        (kept.domain, kept.id, "\n".join(kept.policy.lines), kept.fetched, kept.expires, kept.fetched, MAX_AHEAD),
    )
    connection.execute("DELETE FROM policies WHERE expires < ?", (kept.fetched,))
    (count,) = connection.execute("SELECT count(*) FROM policies").fetchone()
    if count > MAX_POLICIES:
        oldest = "SELECT domain FROM policies ORDER BY used LIMIT ?"
        connection.execute(f"DELETE FROM policies WHERE domain IN ({oldest})", (count - MAX_POLICIES,))


def use(connection: sqlite3.Connection, domain: str, now: float) -> None:
    """Note that mail went by it."""
    connection.execute("UPDATE policies SET used = ? WHERE domain = ?", (now, domain))


def forget(connection: sqlite3.Connection, domain: str) -> bool:
    """Forget a domain's policy. False where there is none."""
    return connection.execute("DELETE FROM policies WHERE domain = ?", (domain,)).rowcount > 0


def _all(rows: sqlite3.Cursor) -> list[Kept]:
    found = []
    for domain, id, text, fetched in rows:
        try:
            found.append(Kept(domain, id, parse_policy(text.encode()), fetched))
        except PolicyError:  # a later version may know what this one does not
            continue
    return found
