"""The database of state: tables by version, work in transactions, and notes that nobody waits for."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.mail.reply import TemporaryFailure
from mailgw.state.database import Database, StateUnusable, connect

FIRST = "CREATE TABLE seen (name TEXT PRIMARY KEY)"
SECOND = "ALTER TABLE seen ADD COLUMN count INTEGER NOT NULL DEFAULT 1; CREATE INDEX counts ON seen (count)"


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM seen ORDER BY name")]


def insert(name: str):  # type: ignore[no-untyped-def]
    return lambda connection: connection.execute("INSERT INTO seen (name) VALUES (?)", (name,)).rowcount


class ConnectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def connect(self, migrations: Sequence[str], *, read_only: bool = False) -> sqlite3.Connection:
        connection = connect(self.path, migrations, read_only=read_only)
        self.addCleanup(connection.close)
        return connection

    def test_an_earlier_version_is_brought_up_to_date_and_keeps_its_rows(self) -> None:
        insert("a")(self.connect([FIRST]))
        later = self.connect([FIRST, SECOND])
        self.assertEqual(later.execute("SELECT name, count FROM seen").fetchall(), [("a", 1)])

    def test_a_later_version_is_left_alone(self) -> None:
        self.connect([FIRST, SECOND])
        error = self.assertRaises(StateUnusable, self.connect, [FIRST])
        self.assertIn("was written by a later mailgw (version 2, this one knows up to 1)", str(error))

    def test_a_migration_that_fails_changes_nothing(self) -> None:
        insert("a")(self.connect([FIRST]))
        self.assertRaises(sqlite3.Error, self.connect, [FIRST, "CREATE TABLE other (x); CREATE TABLE seen (y)"])
        tables = self.connect([FIRST]).execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        self.assertEqual(tables, [("seen",)])

    def test_nobody_else_may_read_it(self) -> None:
        connection = self.connect([FIRST])
        connection.execute("INSERT INTO seen VALUES ('a')")
        modes = {path.name: path.stat().st_mode & 0o777 for path in self.path.parent.glob(f"{self.path.name}*")}
        self.assertEqual(set(modes.values()), {0o600}, modes)

    def test_reading_makes_and_changes_nothing(self) -> None:
        self.assertRaises(sqlite3.Error, self.connect, [FIRST], read_only=True)
        self.assertFalse(self.path.exists())
        self.connect([FIRST])
        self.assertRaises(StateUnusable, self.connect, [FIRST, SECOND], read_only=True)
        self.assertEqual(names(self.connect([FIRST], read_only=True)), [])


class DatabaseTests(TestCase):
    async def open(self) -> Database:
        database = Database(self.path, [FIRST], reactor)
        await database.open()
        return database

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    async def test_what_was_written_is_read(self) -> None:
        database = await self.open()
        self.assertEqual(await database.write(insert("a")), 1)
        self.assertEqual(await database.read(names), ["a"])
        await database.close()

    async def test_two_processes_may_write(self) -> None:
        one, other = await self.open(), await self.open()
        await one.write(insert("a"))
        await other.write(insert("b"))
        self.assertEqual(await one.read(names), ["a", "b"])
        await one.close()
        await other.close()

    async def test_notes_are_written_at_the_end_at_the_latest(self) -> None:
        database = await self.open()
        for name in "abc":
            database.note(insert(name))
        await database.close()
        again = await self.open()
        self.assertEqual(await again.read(names), ["a", "b", "c"])
        await again.close()

    async def test_a_note_that_fails_costs_no_other(self) -> None:
        database = await self.open()
        for name in ("a", "a", "b"):
            database.note(insert(name))
        await database.close()
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.IntegrityError)), 1)
        again = await self.open()
        self.assertEqual(await again.read(names), ["a", "b"])
        await again.close()

    async def test_work_that_fails_is_rolled_back(self) -> None:
        database = await self.open()

        def fail(connection: sqlite3.Connection) -> None:
            insert("a")(connection)
            raise ValueError

        with self.assertRaises(ValueError):
            await database.write(fail)
        self.assertEqual(await database.read(names), [])
        await database.close()

    async def test_a_closed_one_says_so(self) -> None:
        database = await self.open()
        await database.close()
        with self.assertRaises(TemporaryFailure):
            await database.read(names)

    async def test_a_spoilt_file_is_moved_aside_and_mail_goes_on(self) -> None:
        """A state of senders or reports that is damaged stops no gateway."""
        spoilt = b"no database" * 1000
        self.path.write_bytes(spoilt)
        self.path.with_name(f"{self.path.name}-wal").write_bytes(b"a log that belongs to it")
        database = await self.open()
        await database.write(insert("a"))
        self.assertEqual(await database.read(names), ["a"])
        await database.close()
        aside = self.path.with_name(f"{self.path.name}.spoilt-1")
        self.assertEqual(aside.read_bytes(), spoilt)

    async def test_a_file_that_cannot_be_opened_is_tried_again(self) -> None:
        self.path.mkdir()
        clock = Clock()
        clock.callFromThread = reactor.callFromThread  # type: ignore[attr-defined]
        database = Database(self.path, [FIRST], clock)
        await database.open()
        database.note(insert("lost"))
        with self.assertRaises(TemporaryFailure):
            await database.read(names)
        self.path.rmdir()
        clock.advance(60.0)
        await database._connecting
        await database.write(insert("a"))
        self.assertEqual(await database.read(names), ["a"])
        await database.close()

    async def test_a_file_of_a_later_version_is_not_used(self) -> None:
        connect(self.path, [FIRST, SECOND]).close()
        with self.assertRaises(StateUnusable) as caught:
            await self.open()
        self.assertIn("start that one, or move the file away", str(caught.exception))
