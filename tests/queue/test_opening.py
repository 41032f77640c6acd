"""Queues that cannot be opened are refused with words that say what to do; and the listing beside the gateway."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.queue.disk import filesystem, refuse_network
from mailgw.queue.listing import Listing
from mailgw.queue.schema import open_database
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import QueueSize, QueueUnusable
from tests.queue.items import entry, full_entry

MOUNTS = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /srv rw shared:9 - nfs4 server:/export rw,vers=4.2
31 30 254:2 / /srv/local\\040disk rw - xfs /dev/vdb rw
32 22 0:30 / /mnt rw - ext4 /dev/vdc rw
33 22 0:31 / /mnt rw - cifs //server/share rw
"""


def before_priorities(connection: sqlite3.Connection) -> None:
    """Make of the tables those of versions 1 and 2."""
    connection.executescript(
        "DROP INDEX due; ALTER TABLE deliveries DROP COLUMN priority; CREATE INDEX due ON deliveries (due, destination)"
    )


class OpeningTests(TestCase):
    def make_store(self, directory: Path) -> SqliteStore:
        return SqliteStore(directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)

    async def refusal(self, directory: Path) -> str:
        with self.assertRaises(QueueUnusable) as caught:
            await self.make_store(directory).open()
        return str(caught.exception)

    async def test_one_process_at_a_time(self) -> None:
        directory = Path(self.mktemp())
        store = self.make_store(directory)
        await store.open()
        self.assertIn("in use by another process", await self.refusal(directory))
        await store.close()
        await store.open()
        await store.close()

    async def test_after_a_clean_end_the_database_alone_is_the_queue(self) -> None:
        """Who copies `queue.db` of a stopped gateway, as a backup, has all of it."""
        directory = Path(self.mktemp())
        store = self.make_store(directory)
        await store.open()
        await store.put(entry())
        await store.close()
        copy = Path(self.mktemp())
        copy.mkdir()
        (copy / "queue.db").write_bytes((directory / "queue.db").read_bytes())
        self.assertEqual(Listing(copy).size(), QueueSize(1, 1))

    async def test_each_commit_is_synced(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        connection = open_database(directory)
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("PRAGMA synchronous").fetchone(), (2,))  # FULL
        self.assertEqual(connection.execute("PRAGMA journal_mode").fetchone(), ("wal",))

    async def test_a_queue_of_a_later_version(self) -> None:
        directory = Path(self.mktemp())
        store = self.make_store(directory)
        await store.open()
        await store.close()
        connection = sqlite3.connect(directory / "queue.db")
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        self.assertIn("later mailgw (version 99", await self.refusal(directory))
        with self.assertRaises(QueueUnusable):
            Listing(directory)

    async def test_a_file_that_is_no_database(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "queue.db").write_bytes(b"not a database" * 1000)
        self.assertIn(f"cannot open the queue in {directory}: file is not a database", await self.refusal(directory))

    async def test_a_place_that_cannot_be_written(self) -> None:
        Path(self.mktemp()).mkdir()
        self.assertIn("/proc/mailgw", await self.refusal(Path("/proc/mailgw")))

    async def test_only_the_owner_may_look(self) -> None:
        directory = Path(self.mktemp()) / "state" / "queue"
        store = self.make_store(directory)
        await store.open()
        await store.close()
        for folder in (directory, directory.parent, directory / "content"):
            self.assertEqual(folder.stat().st_mode & 0o777, 0o700)


class ListingTests(TestCase):
    async def test_beside_a_running_gateway_and_without_it(self) -> None:
        directory = Path(self.mktemp())
        store = SqliteStore(directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        first, second = entry("01ABCDEFGH000001"), full_entry("01ABCDEFGH000002")
        await store.put(first)
        with Listing(directory) as listing:
            self.assertEqual(listing.size(), QueueSize(1, 1))
            await store.put(second)
            self.assertEqual(listing.size(), QueueSize(2, 4))
            self.assertEqual([one.message.id for one in listing.entries(10)], [first.message.id, second.message.id])
            self.assertEqual([one.message.id for one in listing.entries(1)], [first.message.id])
            self.assertEqual(listing.entry(second.message.id), second)
            self.assertIsNone(listing.entry("01ABCDEFGH000003"))
        await store.close()
        with Listing(directory) as listing:
            self.assertEqual(listing.entry(first.message.id), first)

    def test_no_queue(self) -> None:
        with self.assertRaises(QueueUnusable) as caught:
            Listing("/nonexistent")
        self.assertIn("/nonexistent holds no queue", str(caught.exception))


class FilesystemTests(SynchronousTestCase):
    def test_the_longest_and_latest_mount_counts(self) -> None:
        lines = MOUNTS.splitlines()
        for path, kind in (
            ("/var/lib/mailgw", "ext4"),
            ("/srv/queue", "nfs4"),
            ("/srv/local disk/queue", "xfs"),
            ("/srvx", "ext4"),
            ("/mnt/queue", "cifs"),
        ):
            self.assertEqual(filesystem(Path(path), lines), kind, path)

    def test_a_network_file_system_is_refused(self) -> None:
        mounts = Path(self.mktemp())
        mounts.write_text(MOUNTS)
        refuse_network(Path("/var/lib/mailgw"), mounts)
        with self.assertRaises(QueueUnusable) as caught:
            refuse_network(Path("/srv/queue"), mounts)
        self.assertIn("network file system (nfs4)", str(caught.exception))

    def test_where_nobody_can_say(self) -> None:
        refuse_network(Path("/srv/queue"), Path("/nonexistent"))
