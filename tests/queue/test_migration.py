"""A queue of an earlier release: the gateway takes it on, commands wait for that."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import evolve
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from mailgw.queue.item import Priority
from mailgw.queue.listing import Listing
from mailgw.queue.schema import VERSION
from mailgw.queue.selection import Selection
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import QueueUnusable
from mailgw.queue.surgery import Surgery
from tests.queue.items import entry, full_entry

# As version 2 made it.
_DELIVERIES_2 = """
CREATE TABLE old (
    message_id TEXT NOT NULL, number INTEGER NOT NULL, due REAL NOT NULL, destination TEXT NOT NULL,
    expires REAL NOT NULL, attempts INTEGER NOT NULL, recipient TEXT NOT NULL, last TEXT NOT NULL,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
INSERT INTO old SELECT message_id, number, due, destination, expires, attempts, recipient, last FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE old RENAME TO deliveries;
CREATE INDEX due ON deliveries (due, destination);
PRAGMA user_version = 2;
"""


class MigrationTests(TestCase):
    async def make(self) -> None:
        """Two messages in a queue of version 2."""
        self.directory = Path(self.mktemp())
        self.store = SqliteStore(self.directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)
        full = full_entry("01ABCDEFGH000002")
        people = tuple(evolve(delivery, priority=Priority.PEOPLE) for delivery in full.deliveries)
        self.entries = [entry("01ABCDEFGH000001", reverse_path=None), evolve(full, deliveries=people)]
        await self.store.open()
        await self.store.put(*self.entries)
        await self.store.close()
        with self.connected() as connection:
            connection.executescript(_DELIVERIES_2)

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.directory / "queue.db")) as connection, connection:
            yield connection

    async def take_on(self) -> None:
        await self.store.open()
        await self.store.close()
        with self.connected() as connection:
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (VERSION,))

    async def test_from_version_2(self) -> None:
        await self.make()
        await self.take_on()
        with closing(Listing(self.directory)) as listing:
            for message_id, one in zip(("01ABCDEFGH000001", "01ABCDEFGH000002"), self.entries, strict=True):
                self.assertEqual(listing.entry(message_id), one)
            for selection, ids in (
                (Selection(sender="<>"), ["01ABCDEFGH000001"]),
                (Selection(sender="sender@*"), ["01ABCDEFGH000002"]),
                (Selection(sender="alice@example.org"), ["01ABCDEFGH000002"]),
                (Selection(since=1700000000.0), ["01ABCDEFGH000002"]),
                (Selection(destination="relay:route:out"), ["01ABCDEFGH000002"]),
            ):
                self.assertEqual([one.message.id for one in listing.entries(10, selection)], ids)

    async def test_from_version_1(self) -> None:
        """Its messages had no author's domain."""
        await self.make()
        with self.connected() as connection:
            for message_id, info in connection.execute("SELECT id, info FROM messages").fetchall():
                shorter = json.dumps(json.loads(info)[:13])
                connection.execute("UPDATE messages SET info = ? WHERE id = ?", (shorter, message_id))
            connection.execute("PRAGMA user_version = 1")
        await self.take_on()
        with closing(Listing(self.directory)) as listing:
            first, second = self.entries
            self.assertEqual(listing.entry("01ABCDEFGH000001"), first)
            self.assertEqual(
                listing.entry("01ABCDEFGH000002"), evolve(second, message=evolve(second.message, author_domain=""))
            )

    async def test_commands_leave_it_to_the_gateway(self) -> None:
        """One of the earlier release may run on it still, and would fail after a change of the tables."""
        await self.make()
        for use in (Listing, Surgery):
            error = self.assertRaises(QueueUnusable, use, self.directory)
            self.assertIn("earlier mailgw (version 2 of the queue, this one wants 3): start the gateway", str(error))
        with self.connected() as connection:
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (2,))

    async def test_a_message_that_cannot_be_read_is_said_and_does_not_stop_it(self) -> None:
        await self.make()
        with self.connected() as connection:
            connection.execute("UPDATE messages SET info = '[]' WHERE id = '01ABCDEFGH000001'")
        await self.take_on()
        with closing(Listing(self.directory)) as listing:
            self.assertEqual(listing.entry("01ABCDEFGH000002"), self.entries[1])

    async def test_what_fails_leaves_all_as_it_was(self) -> None:
        await self.make()
        with self.connected() as connection:
            connection.execute("CREATE INDEX by_destination ON deliveries (due)")  # stands in the way
        with self.assertRaises(QueueUnusable):
            await self.store.open()
        with self.connected() as connection:
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (2,))
            self.assertEqual(len(connection.execute("PRAGMA table_info(deliveries)").fetchall()), 8)
            connection.execute("DROP INDEX by_destination")
        await self.take_on()
