"""A disk that is full, almost full, or fails: a clear temporary failure, and the store goes on afterwards."""

from __future__ import annotations

import errno
import math
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.mail.reply import StorageFull, TemporaryFailure
from mailgw.queue.content import ContentFile, ContentFiles
from mailgw.queue.disk import FreeSpace
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import QueueSize, Settlement
from tests.queue.items import entry


def number(n: int) -> str:
    return f"01ABCDEFGH{n:06}"


class SmallDiskTests(TestCase):
    """On a real file system of 3 MB."""

    if os.geteuid() != 0 or shutil.which("mount") is None:
        skip = "mounting a tmpfs needs root and mount"

    async def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=3m", "mailgw-test", str(self.directory)]
        mounted = subprocess.run(command, capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", str(self.directory)], check=True)
        self.ballast = self.directory / "ballast"
        self.ballast.write_bytes(b"x" * 1_500_000)
        self.store = SqliteStore(self.directory / "queue", reactor, inline_size=100_000, minimum_free=0, clock=reactor)
        await self.store.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.close()))

    async def fill(self) -> list[str]:
        """Put until the disk is full; give the ids that were put."""
        done: list[str] = []
        for start in range(0, 1000, 5):
            ids = [number(n) for n in range(start, start + 5)]
            puts = [Deferred.fromCoroutine(self.store.put(entry(one, data=b"x" * 20_000))) for one in ids]
            results = await DeferredList(puts, consumeErrors=True)
            done += [one for one, (ok, _) in zip(ids, results, strict=True) if ok]
            failures = [result for ok, result in results if not ok]
            if failures:
                for failure in failures:
                    failure.trap(StorageFull)
                self.assertIn("full", failures[0].value.cause)
                return done
        raise AssertionError("the disk was never full")

    async def test_full_in_the_middle_and_free_again(self) -> None:
        done = await self.fill()
        found = await self.store.due(math.inf, 1000)
        self.assertEqual([delivery.message_id for delivery in found], done)
        self.ballast.unlink()
        await self.store.put(entry(number(9999)))
        await self.store.settle([Settlement((one, 0)) for one in done])
        self.assertEqual(await self.store.size(), QueueSize(1, 1))

    async def test_what_was_put_is_there_after_a_restart_on_the_full_disk(self) -> None:
        done = await self.fill()
        await self.store.close()
        self.ballast.unlink()
        self.store = SqliteStore(self.directory / "queue", reactor, inline_size=100_000, minimum_free=0, clock=reactor)
        await self.store.open()
        found = await self.store.due(math.inf, 1000)
        self.assertEqual([delivery.message_id for delivery in found], done)

    async def test_a_large_content_that_does_not_fit(self) -> None:
        writer = self.store.new_content(number(1))
        with self.assertRaises(StorageFull) as caught:
            for _ in range(100):
                await writer.write(b"x" * 100_000)
        self.assertIn("No space left", caught.exception.cause)
        await writer.abort()
        self.assertEqual(list((self.directory / "queue" / "content").iterdir()), [])
        await self.store.put(entry(number(2)))

    async def test_almost_full(self) -> None:
        store = SqliteStore(
            self.directory / "other", reactor, inline_size=100_000, minimum_free=10_000_000, clock=reactor
        )
        await store.open()
        try:
            with self.assertRaises(StorageFull) as caught:
                await store.put(entry())
            self.assertIn("disk almost full", caught.exception.cause)
            with self.assertRaises(StorageFull):
                store.new_content(number(1))
            await store.settle([], [entry()])  # reports, and what was accepted, go on
            self.assertEqual(await store.size(), QueueSize(1, 1))
        finally:
            await store.close()


class FullFile(ContentFile):
    def append(self, pieces: list[bytes]) -> None:
        super().append(pieces[:1])
        raise OSError(errno.ENOSPC, "No space left on device")


class FailingFile(ContentFile):
    def sync(self) -> None:
        raise OSError(errno.EIO, "Input/output error")


class FailingFiles(ContentFiles):
    kind: type[ContentFile] = FullFile

    def create(self, message_id: str) -> ContentFile:
        return self.kind(self.path(message_id))


class FailingFilesTests(TestCase):
    async def setUp(self) -> None:
        directory = Path(self.mktemp())
        self.files = FailingFiles(directory / "content")
        self.store = SqliteStore(directory, reactor, inline_size=1000, minimum_free=0, clock=reactor, files=self.files)
        await self.store.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.close()))

    async def test_full(self) -> None:
        writer = self.store.new_content(number(1))
        with self.assertRaises(StorageFull) as caught:
            await writer.write(b"x" * 300_000)
        self.assertIn("No space left", caught.exception.cause)
        await writer.abort()
        self.assertEqual(self.files.names(), [])

    async def test_a_sync_that_fails(self) -> None:
        self.files.kind = FailingFile
        writer = self.store.new_content(number(1))
        await writer.write(b"x" * 300_000)
        with self.assertRaises(TemporaryFailure) as caught:
            await writer.finish()
        self.assertNotIsInstance(caught.exception, StorageFull)  # waiting does not mend a broken disk
        await writer.abort()
        self.assertEqual(self.files.names(), [])

    async def test_small_content_needs_no_file(self) -> None:
        writer = self.store.new_content(number(1))
        await writer.write(b"x" * 1000)
        await writer.finish()


class FreeSpaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked = 0
        self.free = 100
        self.space = FreeSpace(Path("/queue"), 4096 * 50, self.clock, self.statvfs)

    def statvfs(self, path: Path) -> Any:
        self.asked += 1
        return SimpleNamespace(f_bavail=self.free, f_frsize=4096)

    def test_asked_once_a_second(self) -> None:
        for _ in range(10):
            self.space.check()
            self.clock.advance(0.09)
        self.assertEqual(self.asked, 1)
        self.clock.advance(0.2)
        self.space.check()
        self.assertEqual(self.asked, 2)

    def test_says_what_is_free_and_what_is_wanted(self) -> None:
        self.free = 49
        with self.assertRaises(StorageFull) as caught:
            self.space.check()
        self.assertEqual(
            caught.exception.cause, "disk almost full: 200704 octets are free in /queue, minimum_free is 204800"
        )
        self.free = 50
        self.clock.advance(1.0)
        self.space.check()

    def test_a_clock_that_is_set_back(self) -> None:
        self.space.check()
        self.clock.rightNow = -1000.0
        self.space.check()
        self.assertEqual(self.asked, 2)
