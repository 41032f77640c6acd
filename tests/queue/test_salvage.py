"""What can be read of a damaged queue is read, and what cannot is told."""

from __future__ import annotations

import random
import shutil
from contextlib import closing
from pathlib import Path

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from mailgw.mail.message import Message
from mailgw.queue.salvage import Salvage, Target
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry, QueueUnusable
from tests.queue.items import entry, full_entry

COUNT = 400
PAGE = 8192
TRIES = 25


class SalvageTests(TestCase):
    async def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        store = self.make_store(self.directory)
        await store.open()
        self.sizes = {f"01ABCDEFGH{n:06}": 20_000 if n % 40 == 0 else 1000 + n * 7 for n in range(COUNT)}
        entries = []
        for name, size in self.sizes.items():
            writer = store.new_content(name)
            await writer.write(b"x" * size)
            put = entry(name)
            entries.append(Entry(evolve(put.message, message=Message(await writer.finish(), b"")), put.deliveries))
        self.full = full_entry("01ABCDEFGH999999")
        await store.put(*entries, self.full)
        await store.close()

    def make_store(self, directory: Path) -> SqliteStore:
        store = SqliteStore(directory, reactor, inline_size=10_000, minimum_free=0, clock=reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))  # after a failure; else it is closed
        return store

    def salvage(self, directory: Path, target: Path) -> Salvage:
        with closing(Salvage(directory)) as damaged, closing(Target(target)) as queue:
            queue.put([found for _, found in damaged.messages() if found is not None])
        return damaged

    async def content(self, directory: Path) -> dict[str, int]:
        """Give what a gateway finds there: sizes of contents that are sound."""
        store = self.make_store(directory)
        await store.open()
        found = {}
        for one in await store.entries(1000):
            self.assertTrue(one.deliveries)
            with one.message.message.content.open() as file:
                data = file.read()
            if one.message.id == self.full.message.id:
                self.assertEqual(one.deliveries, self.full.deliveries)
                self.assertEqual(await store.message(one.message.id), self.full.message)
            else:
                self.assertEqual(set(data), set(b"x"))
                found[one.message.id] = len(data)
        await store.close()
        return found

    async def test_a_sound_queue_is_taken_as_it_is(self) -> None:
        target = Path(self.mktemp())
        damaged = self.salvage(self.directory, target)
        self.assertFalse(damaged.losses)
        self.assertEqual(await self.content(target), self.sizes)
        self.salvage(self.directory, target)
        self.assertEqual(await self.content(target), self.sizes, "it is there already")

    async def test_pages_that_are_damaged(self) -> None:
        data = (self.directory / "queue.db").read_bytes()
        choose = random.Random(1)
        read = 0
        for _ in range(TRIES):
            page = choose.randrange(10, len(data) // PAGE)  # the first ones are the roots
            copy, target = Path(self.mktemp()), Path(self.mktemp())
            shutil.copytree(self.directory, copy)
            (copy / "queue.db").write_bytes(data[: page * PAGE] + choose.randbytes(PAGE) + data[(page + 1) * PAGE :])
            losses = self.salvage(copy, target).losses
            found = await self.content(target)
            self.assertLessEqual(found.items(), self.sizes.items(), f"page {page}")
            self.assertGreaterEqual(
                len(found) + losses.rows + len(losses.messages), COUNT - 1, f"page {page}: {losses}"
            )
            self.assertFalse(found.keys() & set(losses.messages))
            read += len(found)
        self.assertGreater(read, 0.9 * COUNT * TRIES)

    async def test_a_content_that_is_gone(self) -> None:
        content = next((self.directory / "content").iterdir())
        content.unlink()
        damaged = self.salvage(self.directory, Path(self.mktemp()))
        self.assertEqual((damaged.losses.rows, damaged.losses.messages), (0, [content.name]))

    async def test_not_into_the_queue_of_a_gateway_that_runs(self) -> None:
        directory = Path(self.mktemp())
        store = self.make_store(directory)
        await store.open()
        with self.assertRaises(QueueUnusable) as caught:
            Target(directory)
        self.assertIn("in use by another process", str(caught.exception))
        await store.close()

    def test_of_what_is_no_database_nothing_can_be_read(self) -> None:
        (self.directory / "queue.db").write_bytes(b"x" * 100_000)
        with self.assertRaises(QueueUnusable) as caught:
            Salvage(self.directory)
        self.assertIn(f"nothing of {self.directory / 'queue.db'} can be read", str(caught.exception))
