"""Delivered mail is gone from the disk: not only from the tables, but from every byte of the files."""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Settlement
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

    async def test_at_the_end_at_the_latest(self) -> None:
        await self.start(3600.0)
        put = entry(data=b"Subject: x\r\n\r\n" + MARKER * 100 + b"\r\n")
        await self.store.put(put)
        await self.store.settle([Settlement(put.deliveries[0].id)])
        await self.store.close()
        self.assertEqual(self.where(), [])
