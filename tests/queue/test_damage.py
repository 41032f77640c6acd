"""The queue's files after a crash, and after what no crash does: cut, torn, flipped, gone."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from mailgw.mail.message import Message
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry, QueueUnusable, Settlement
from tests.queue.items import entry

COUNT = 30
TRIES = 25


class DamageTests(TestCase):
    """A queue of COUNT messages, put one by one; `ends[n]` is the size of the log when n are committed."""

    async def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        store = self.make_store(self.directory)
        await store.open()
        log = self.directory / "queue.db-wal"
        self.ids = [f"01ABCDEFGH{n:06}" for n in range(COUNT)]
        self.ends = [log.stat().st_size]
        for number, name in enumerate(self.ids):
            writer = store.new_content(name)
            await writer.write(b"Subject: x\r\n\r\n" + b"x" * (20_000 if number == COUNT - 1 else 2000))
            put = entry(name)
            await store.put(Entry(evolve(put.message, message=Message(await writer.finish(), b"")), put.deliveries))
            self.ends.append(log.stat().st_size)
        self.killed = Path(self.mktemp())
        self.copy(self.directory, self.killed)
        await store.close()
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def make_store(self, directory: Path) -> SqliteStore:
        store = SqliteStore(directory, reactor, inline_size=10_000, minimum_free=0, clock=reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))  # after a failure; else it is closed
        return store

    def copy(self, source: Path, target: Path) -> None:
        """Copy it as a kill at this moment leaves it: nothing is being written."""
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-shm"))

    async def opened(self, change: Any) -> tuple[Path, list[str]]:
        """Give what is in the queue after a start on a copy of which the log was changed."""
        directory = Path(self.mktemp())
        self.copy(self.killed, directory)
        log = directory / "queue.db-wal"
        data = bytearray(log.read_bytes())
        change(data)
        log.write_bytes(data)
        store = self.make_store(directory)
        await store.open()
        entries = await store.entries(1000)
        await store.put(entry("01ZZZZZZZZ000000"))  # it goes on
        await store.close()
        return directory, [one.message.id for one in entries]

    def damaged(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("event") == "queue_damaged"]

    async def test_a_log_that_was_cut(self) -> None:
        """As a crash leaves it in the middle of a commit: what was committed before is there."""
        choose = random.Random(1)
        for _ in range(TRIES):
            size = choose.randrange(self.ends[0], self.ends[-1])
            _, found = await self.opened(lambda data, size=size: data.__delitem__(slice(size, None)))
            whole = sum(end <= size for end in self.ends) - 1
            self.assertEqual(found, self.ids[:whole])
        self.assertEqual(self.damaged(), [])

    async def test_a_last_commit_that_was_torn(self) -> None:
        """Its writes come to the disk in any order: the last may be there, and one before it not."""
        choose = random.Random(2)
        for _ in range(TRIES):
            start = choose.randrange(self.ends[-2], self.ends[-1] - 512)
            _, found = await self.opened(lambda data, at=start: data.__setitem__(slice(at, at + 512), b"\xa5" * 512))
            self.assertEqual(found, self.ids[:-1])
        self.assertEqual(self.damaged(), [])

    async def test_a_log_with_damage_in_the_middle(self) -> None:
        """SQLite ends there without a word: what was before survives, and the postmaster is told of the rest."""
        choose = random.Random(3)
        for number in range(TRIES):
            at = choose.randrange(self.ends[2], self.ends[COUNT - 3])

            def flip(data: bytearray, at: int = at) -> None:
                data[at] ^= 0xFF

            directory, found = await self.opened(flip)
            whole = sum(end <= at for end in self.ends) - 1
            self.assertEqual(found, self.ids[:whole])
            event = self.damaged()[-1]
            self.assertEqual(len(self.damaged()), number + 1)
            # A flip in the header of a frame may hide the commit of that frame.
            self.assertIn(event["count"], (COUNT - whole, COUNT - whole - 1))
            kept = Path(event["kept"])
            self.assertEqual(kept.parent, directory)
            self.assertEqual(sorted(p.name for p in kept.iterdir()), [self.ids[-1], "queue.db-wal"])
            self.assertEqual((kept / self.ids[-1]).stat().st_size, 20_014)
            self.assertEqual((kept / "queue.db-wal").stat().st_size, self.ends[-1])

    async def test_a_log_whose_head_is_damaged(self) -> None:
        for at in (1, 9, 18, 26):  # magic, page size, salt, checksum
            _, found = await self.opened(lambda data, at=at: data.__setitem__(at, data[at] ^ 0xFF))
            self.assertEqual(found, [])
        self.assertEqual(len(self.damaged()), 4)

    async def test_a_log_that_was_begun_anew_is_sound(self) -> None:
        """Behind its end stand the commits from before."""
        store = self.make_store(self.killed)
        await store.open()
        await store.put(entry("01ZZZZZZZZ000000"))
        await store.settle([Settlement(("01ZZZZZZZZ000000", 0))])
        copy = Path(self.mktemp())
        self.copy(self.killed, copy)
        await store.close()
        self.assertEqual((copy / "queue.db-wal").stat().st_size, self.ends[-1])
        self.killed = copy
        _, found = await self.opened(lambda data: None)
        self.assertEqual(found, self.ids)
        self.assertEqual(self.damaged(), [])

    async def test_a_damaged_database_says_what_to_do(self) -> None:
        path = self.directory / "queue.db"
        sound = path.read_bytes()
        for start, size in ((0, 16), (100, 8092), (8192, 8192)):  # what a stray write leaves
            data = bytearray(sound)
            data[start : start + size] = b"\xa5" * size
            path.write_bytes(data)
            with self.assertRaises(QueueUnusable) as caught:
                await self.make_store(self.directory).open()
            self.assertIn(f"cannot open the queue in {self.directory}: ", str(caught.exception))
            self.assertIn("`mailgw queue salvage OLD`", str(caught.exception))
            self.assertEqual(len(list((self.directory / "content").iterdir())), 1, "a content went")

    async def test_without_its_database_nothing_of_a_queue_is_thrown_away(self) -> None:
        """A new database was made, and all contents were removed since no row held them."""
        for directory in (self.directory, self.killed):
            path = directory / "queue.db"
            path.unlink()
            for _ in range(2):
                with self.assertRaises(QueueUnusable) as caught:
                    await self.make_store(directory).open()
                self.assertIn(
                    f"there is no queue in {path}, but what belongs to one: 1 contents", str(caught.exception)
                )
                self.assertTrue((directory / "content" / self.ids[-1]).exists())
                path.touch()  # what a tool that failed left
        self.assertEqual((self.killed / "queue.db-wal").stat().st_size, self.ends[-1])
        (self.killed / "content" / self.ids[-1]).unlink()
        with self.assertRaises(QueueUnusable):
            await self.make_store(self.killed).open()
