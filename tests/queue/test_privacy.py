"""Delivered mail is gone from the disk: not only from the tables, but from every byte of the files."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from mailgw.queue.schema import open_reader
from mailgw.queue.selection import Selection
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Settlement
from mailgw.queue.surgery import Surgery, remove
from tests.queue.items import entry

MARKER = b"nobody else is to read this"


class PrivacyTests(TestCase):
    async def start(self, erase_after: float) -> None:
        self.directory = Path(self.mktemp())
        self.store = SqliteStore(
            self.directory, reactor, inline_size=10_000, minimum_free=0, clock=reactor, erase_after=erase_after
        )
        await self.store.open()

    def where(self) -> list[str]:
        """The files that hold the marker."""
        return sorted(p.name for p in self.directory.rglob("*") if p.is_file() and MARKER in p.read_bytes())

    async def until_gone(self) -> None:
        for _ in range(500):
            if not self.where():
                return
            await deferLater(reactor, 0.02)
        self.fail(f"it is still in {self.where()}")

    async def test_in_the_database_and_its_log(self) -> None:
        await self.start(0.1)
        put = entry(data=b"Subject: x\r\n\r\n" + MARKER * 100 + b"\r\n")
        other = entry("01ABCDEFGH000002")
        await self.store.put(put, other)
        self.assertEqual(self.where(), ["queue.db-wal"])
        await self.store.settle([Settlement(put.deliveries[0].id)])
        await self.until_gone()
        self.assertIsNotNone(await self.store.message(other.message.id))
        await self.store.close()

    async def test_while_it_is_read(self) -> None:
        """A reader keeps the log as it is; it is cut when the reader is done."""
        await self.start(0.1)
        put = entry(data=b"Subject: x\r\n\r\n" + MARKER * 100 + b"\r\n")
        await self.store.put(put)
        for _ in range(20):
            await self.store.entries(10)
        await self.store.settle([Settlement(put.deliveries[0].id)])
        await self.until_gone()
        await self.store.close()

    async def test_after_kill_9(self) -> None:
        """The log that a killed process had left was erased only after the next delivery."""
        await self.start(3600.0)
        put = entry(data=b"Subject: x\r\n\r\n" + MARKER * 100 + b"\r\n")
        await self.store.put(put)
        await self.store.settle([Settlement(put.deliveries[0].id)])
        killed = Path(self.mktemp())
        shutil.copytree(self.directory, killed)  # nothing is written now
        await self.store.close()
        self.directory = killed
        self.assertEqual(self.where(), ["queue.db-wal"])
        self.store = SqliteStore(killed, reactor, inline_size=10_000, minimum_free=0, clock=reactor, erase_after=0.1)
        await self.store.open()
        await self.until_gone()
        await self.store.close()

    async def test_what_a_person_deletes_while_it_is_listed(self) -> None:
        """A reader keeps the command from cutting the log: then it stayed until the next delivery."""
        await self.start(0.1)
        await deferLater(reactor, 0.3)  # what is erased after the start is erased
        put = entry(data=b"Subject: x\r\n\r\n" + MARKER * 100 + b"\r\n")
        await self.store.put(put)
        with closing(open_reader(self.directory)) as reader, closing(Surgery(self.directory)) as surgery:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM messages").fetchone()
            surgery.select(Selection(ids=frozenset({put.message.id})))
            self.assertEqual(surgery.change(surgery.deliveries(), remove), 1)
            self.assertEqual(self.where(), ["queue.db-wal"])
        self.assertTrue(self.store.changed())  # asked before each attempt, and each second
        await self.until_gone()
        await self.store.close()

    async def test_at_the_end_at_the_latest(self) -> None:
        await self.start(3600.0)
        put = entry(data=b"Subject: x\r\n\r\n" + MARKER * 100 + b"\r\n")
        await self.store.put(put)
        await self.store.settle([Settlement(put.deliveries[0].id)])
        await self.store.close()
        self.assertEqual(self.where(), [])
