"""The recorder writes behind the mail: what the disk does not take waits."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from mailgw.config.schema import History
from mailgw.history.recorder import Recorder
from mailgw.history.search import HistorySearch
from mailgw.history.tables import FILE, MIGRATIONS
from mailgw.mail.reply import TemporaryFailure
from mailgw.state.database import Database
from tests.queue.items import entry


class BusyDatabase(Database):
    """Somebody else holds the file, as long as it is `busy`."""

    busy = False

    async def write(self, work):  # type: ignore[no-untyped-def]
        if self.busy:
            raise TemporaryFailure("history.db: database is locked")
        return await super().write(work)


class WritingTests(TestCase):
    async def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.database = BusyDatabase(self.folder / FILE, MIGRATIONS, reactor)
        await self.database.open()
        self.recorder = Recorder(self.database, History(), Clock())

    def fate(self, name: str) -> None:
        queued = entry(name)
        self.recorder.fate(queued.message, queued.deliveries[0], "delivered")

    async def fates(self, name: str) -> list[str]:
        await self.recorder.stop()
        await self.database.close()
        with HistorySearch(self.folder) as search:
            return [fate.event for fate in search.fates(name)]

    async def test_what_could_not_be_written_is_written_later(self) -> None:
        """A command that held the file for long ended the history until the next start."""
        self.database.busy = True
        self.fate("01AAAAAAAA000001")
        await self.recorder.write()
        self.database.busy = False
        self.fate("01AAAAAAAA000001")
        self.assertEqual(await self.fates("01AAAAAAAA000001"), ["delivered", "delivered"])

    async def test_an_error_of_the_disk_leaves_all_that_waits(self) -> None:
        def full(connection: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        self.fate("01AAAAAAAA000001")
        self.recorder._waiting.append(full)
        await self.recorder.write()
        self.recorder._waiting.pop()
        self.assertEqual(await self.fates("01AAAAAAAA000001"), ["delivered"])
