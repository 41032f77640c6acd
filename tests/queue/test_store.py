"""What every QueueStore promises, run on each of them."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from mailgw.config.schema import Queue
from mailgw.mail.message import BytesContent, FileContent, Message
from mailgw.mail.reply import TemporaryFailure
from mailgw.queue.item import Destination, Priority
from mailgw.queue.memory import MemoryStore
from mailgw.queue.scheduler import Scheduler
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry, QueueSize, QueueStore, Settlement
from tests.queue.fakes import FakeAgent, FakeReporter
from tests.queue.items import RELAY, as_bulk, entry, full_entry

OTHER = Destination("relay", "mx:other.example")


class StoreContract:
    """Mixed into a TestCase that gives `make_store`."""

    store: QueueStore

    def make_store(self) -> QueueStore:
        raise NotImplementedError

    async def setUp(self) -> None:
        self.store = self.make_store()
        await self.store.open()

    async def tearDown(self) -> None:
        await self.store.close()

    async def test_everything_survives(self: Any) -> None:
        put = full_entry()
        await self.store.put(put)
        self.assertEqual(await self.store.message(put.message.id), put.message)
        found = await self.store.due(math.inf, 10)
        self.assertEqual(list(found), sorted(put.deliveries, key=lambda delivery: delivery.due))

    async def test_null_reverse_path_and_empty_content(self: Any) -> None:
        put = entry(reverse_path=None, data=b"")
        await self.store.put(put)
        self.assertEqual(await self.store.message(put.message.id), put.message)

    async def test_a_message_goes_with_its_last_delivery(self: Any) -> None:
        put = entry(destinations=(RELAY, OTHER))
        await self.store.put(put)
        await self.store.settle([Settlement(put.deliveries[0].id)])
        self.assertEqual(await self.store.size(), QueueSize(1, 1))
        self.assertIsNotNone(await self.store.message(put.message.id))
        await self.store.settle([Settlement(put.deliveries[1].id)])
        self.assertEqual(await self.store.size(), QueueSize(0, 0))
        self.assertIsNone(await self.store.message(put.message.id))

    async def test_several_are_put_together_or_not_at_all(self: Any) -> None:
        one, other = entry("01ABCDEFGH000001"), entry("01ABCDEFGH000002")
        await self.store.put(one, other)
        self.assertEqual(await self.store.size(), QueueSize(2, 2))
        with self.assertRaises((ValueError, sqlite3.IntegrityError)):  # an id is put once
            await self.store.put(entry("01ABCDEFGH000003"), one)
        self.assertEqual(await self.store.size(), QueueSize(2, 2))

    async def test_a_content_for_a_second_message(self: Any) -> None:
        for size in (10, 50_000):  # in the row, and in a file
            name = f"01ABCDEFGH{size:06}"
            writer = self.store.new_content(name)
            await writer.write(b"x" * size)
            content = await writer.finish()
            one = entry(name)
            one = evolve(one, message=evolve(one.message, message=Message(content, b"")))
            other = entry(f"01ABCDEFG0{size:06}")
            copied = await self.store.copy(content, other.message.id)
            other = evolve(other, message=evolve(other.message, message=Message(copied, b"")))
            await self.store.put(one, other)
            await self.store.settle([Settlement(one.deliveries[0].id)])
            left = await self.store.message(other.message.id)
            self.assertEqual(left.message.content.open().read(), b"x" * size, "though the first is gone")
            await self.store.settle([Settlement(other.deliveries[0].id)])
        self.assertEqual(await self.store.size(), QueueSize(0, 0))

    async def test_retry_is_written(self: Any) -> None:
        put = entry()
        await self.store.put(put)
        retry = evolve(put.deliveries[0], due=300.0, attempts=1, last="450 4.2.0 greylisted")
        await self.store.settle([Settlement(retry.id, retry)])
        self.assertEqual(await self.store.due(299.0, 10), [])
        self.assertEqual(await self.store.due(300.0, 10), [retry])

    async def test_what_still_stands_as_it_was_read(self: Any) -> None:
        put = entry("01ABCDEFGH000001", (RELAY, OTHER, RELAY))
        await self.store.put(put, entry("01ABCDEFGH000002"))
        self.assertEqual(await self.store.standing(put.deliveries), put)
        gone, other, still = put.deliveries
        await self.store.settle([Settlement(gone.id), Settlement(other.id, evolve(other, due=9.0, attempts=1))])
        self.assertEqual(await self.store.standing(put.deliveries), Entry(put.message, (other, still)))
        self.assertIsNone(await self.store.standing((gone, evolve(other, destination=RELAY))))
        self.assertIsNone(await self.store.standing(entry("01ABCDEFGH000003").deliveries))
        self.assertFalse(self.store.changed())

    async def test_what_is_given_up_goes_only_where_nobody_has_changed_it(self: Any) -> None:
        """A failure for good took away what a person had held or sent elsewhere meanwhile."""
        put = entry("01ABCDEFGH000001", (RELAY, OTHER))
        await self.store.put(put)
        first, second = put.deliveries
        await self.store.settle([Settlement(first.id, destination=str(OTHER))])
        self.assertEqual(await self.store.size(), QueueSize(1, 2))
        await self.store.settle([Settlement(first.id, destination=str(RELAY)), Settlement(second.id)])
        self.assertEqual(await self.store.size(), QueueSize(0, 0))

    async def test_retry_of_what_is_gone_brings_nothing_back(self: Any) -> None:
        put = entry()
        await self.store.put(put)
        await self.store.settle([Settlement(put.deliveries[0].id)])
        await self.store.settle([Settlement(put.deliveries[0].id, put.deliveries[0])])
        self.assertEqual(await self.store.size(), QueueSize(0, 0))

    async def test_settlement_and_report_in_one(self: Any) -> None:
        put = entry()
        report = entry("01ABCDEFGH0000RR", reverse_path=None)
        await self.store.put(put)
        await self.store.settle([Settlement(put.deliveries[0].id)], [report])
        self.assertIsNone(await self.store.message(put.message.id))
        self.assertEqual(await self.store.message(report.message.id), report.message)

    async def test_due_order_limit_skip_and_destinations(self: Any) -> None:
        for n in range(6):
            await self.store.put(entry(f"01ABCDEFGH{5 - n:06}", (RELAY if n % 2 else OTHER,), due=float(n)))
        dues = [delivery.due for delivery in await self.store.due(4.0, 10)]
        self.assertEqual(dues, [0.0, 1.0, 2.0, 3.0, 4.0])
        first = await self.store.due(10.0, 2)
        self.assertEqual([delivery.due for delivery in first], [0.0, 1.0])
        skip = {delivery.id for delivery in first}
        self.assertEqual([d.due for d in await self.store.due(10.0, 2, skip)], [2.0, 3.0])
        self.assertEqual([d.due for d in await self.store.due(10.0, 9, since=2.0)], [2.0, 3.0, 4.0, 5.0])
        self.assertEqual([d.due for d in await self.store.due(10.0, 9, destination=str(OTHER))], [0.0, 2.0, 4.0])
        self.assertEqual([d.due for d in await self.store.due(10.0, 9, without=[str(OTHER)])], [1.0, 3.0, 5.0])

    async def test_each_priority_by_itself(self: Any) -> None:
        await self.store.put(as_bulk(entry("01ABCDEFGH000001", due=1.0)))
        await self.store.put(entry("01ABCDEFGH000002", due=2.0))
        await self.store.put(as_bulk(entry("01ABCDEFGH000003", due=3.0)))
        for priority, dues in ((Priority.PEOPLE, [2.0]), (Priority.BULK, [1.0, 3.0]), (None, [1.0, 2.0, 3.0])):
            found = await self.store.due(9.0, 10, priority=priority)
            self.assertEqual([delivery.due for delivery in found], dues)
            self.assertEqual(await self.store.next_due(priority=priority), dues[0])
            self.assertTrue(all(delivery.priority == priority for delivery in found) or priority is None)
        self.assertEqual(await self.store.next_due(1.0, priority=Priority.BULK), 3.0)
        self.assertIsNone(await self.store.next_due(2.0, priority=Priority.PEOPLE))

    async def test_next_due(self: Any) -> None:
        self.assertIsNone(await self.store.next_due())
        await self.store.put(entry("01ABCDEFGH000001", due=20.0))
        await self.store.put(entry("01ABCDEFGH000002", due=10.0))
        self.assertEqual(await self.store.next_due(), 10.0)
        self.assertEqual(await self.store.next_due(10.0), 20.0)
        self.assertIsNone(await self.store.next_due(20.0))

    async def test_entries_page_by_page(self: Any) -> None:
        puts = [entry(f"01ABCDEFGH{n:06}", (RELAY, OTHER)) for n in range(5)]
        for put in reversed(puts):
            await self.store.put(put)
        self.assertEqual([e.message.id for e in await self.store.entries(3)], [e.message.id for e in puts[:3]])
        page = await self.store.entries(3, puts[2].message.id)
        self.assertEqual([e.message.id for e in page], [e.message.id for e in puts[3:]])
        self.assertEqual([e.deliveries for e in page], [e.deliveries for e in puts[3:]])
        self.assertEqual(page[0].message.message.head, puts[3].message.message.head)
        self.assertEqual(page[0].message.message.size, puts[3].message.message.size)
        with page[0].message.message.content.open() as file:
            self.assertEqual(file.read(), puts[3].message.message.content.data)

    async def test_an_id_is_put_once(self: Any) -> None:
        await self.store.put(entry())
        with self.assertRaises(Exception) as caught:
            await self.store.put(entry())
        self.assertNotIsInstance(caught.exception, TemporaryFailure)
        self.assertEqual(await self.store.size(), QueueSize(1, 1))

    async def test_a_message_without_deliveries_is_refused(self: Any) -> None:
        with self.assertRaises(ValueError):
            await self.store.put(Entry(entry().message, ()))

    async def test_content_in_pieces(self: Any) -> None:
        writer = self.store.new_content("01ABCDEFGH000001")
        await writer.write(b"Subject: a\r\n")
        await writer.write(b"\r\nbody\r\n")
        content = await writer.finish()
        self.assertEqual(content, BytesContent(b"Subject: a\r\n\r\nbody\r\n"))


class MemoryStoreTests(StoreContract, TestCase):
    def make_store(self) -> QueueStore:
        return MemoryStore()

    async def test_broken_fails_everything_with_its_cause(self) -> None:
        assert isinstance(self.store, MemoryStore)
        self.store.broken = "disk full"
        with self.assertRaises(TemporaryFailure):
            await self.store.put(entry())
        with self.assertRaises(TemporaryFailure):
            self.store.new_content("01ABCDEFGH000001")
        self.store.broken = ""
        await self.store.put(entry())


class SqliteStoreTests(StoreContract, TestCase):
    inline_size = 1000

    def make_store(self) -> QueueStore:
        self.directory = Path(self.mktemp())
        return self.reopened()

    def reopened(self) -> SqliteStore:
        return SqliteStore(self.directory, reactor, inline_size=self.inline_size, minimum_free=0, clock=reactor)

    async def file_entry(self, size: int = 600_000) -> Entry:
        put = entry()
        head = b"Subject: large\r\n\r\n"
        writer = self.store.new_content(put.message.id)
        await writer.write(head)
        for _ in range(10):
            await writer.write(b"x" * (size // 10))
        content = await writer.finish()
        return Entry(evolve(put.message, message=Message(content, head, b"Received: x\r\n")), put.deliveries)

    async def test_everything_is_there_after_a_restart(self) -> None:
        put = full_entry()
        await self.store.put(put)
        await self.store.close()
        self.store = self.reopened()
        await self.store.open()
        self.assertEqual(await self.store.message(put.message.id), put.message)
        self.assertEqual(sorted(await self.store.due(math.inf, 10), key=lambda d: d.number), list(put.deliveries))

    async def test_large_content_stands_in_a_file_and_goes_with_its_message(self) -> None:
        put = await self.file_entry()
        path = self.directory / "content" / put.message.id
        self.assertEqual(put.message.message.content, FileContent(str(path), 600_018))
        await self.store.put(put)
        found = await self.store.message(put.message.id)
        self.assertEqual(found, put.message)
        self.assertEqual(path.stat().st_size, 600_018)
        self.assertEqual(b"".join(put.message.message.output())[:40], b"Received: x\r\nSubject: large\r\n\r\nxxxxxxxxx")
        await self.store.settle([Settlement(put.deliveries[0].id)])
        await self.store.close()
        self.assertFalse(path.exists())

    async def test_the_head_of_a_file_is_read_from_the_row(self) -> None:
        put = await self.file_entry()
        await self.store.put(put)
        (self.directory / "content" / put.message.id).unlink()
        found = await self.store.message(put.message.id)
        assert found is not None
        self.assertEqual(found.message.head, b"Subject: large\r\n\r\n")
        (listed,) = await self.store.entries(1)
        self.assertEqual(listed.message.message.head, b"Subject: large\r\n\r\n")

    async def test_abort_removes_the_file_also_behind_finish(self) -> None:
        put = await self.file_entry()
        writer = self.store.new_content("01ABCDEFGH000002")
        await writer.write(b"x" * 600_000)
        await writer.abort()
        await writer.abort()
        self.assertEqual([path.name for path in (self.directory / "content").iterdir()], [put.message.id])
        again = self.store.new_content("01ABCDEFGH000003")
        await again.write(b"x" * 600_000)
        await again.finish()
        await again.abort()
        self.assertEqual([path.name for path in (self.directory / "content").iterdir()], [put.message.id])

    async def test_orphans_are_removed_at_open_and_others_stay(self) -> None:
        put = await self.file_entry()
        await self.store.put(put)
        await self.store.close()
        (self.directory / "content" / "01ORPHAN").write_bytes(b"x")
        self.store = self.reopened()
        await self.store.open()
        self.assertEqual([path.name for path in (self.directory / "content").iterdir()], [put.message.id])

    async def test_a_put_that_is_cancelled_keeps_its_content(self) -> None:
        """A client that goes away while the commit is under way: the message may be in the queue, so its file is."""
        writer = self.store.new_content("01ABCDEFGH000001")
        await writer.write(b"\r\n" + b"x" * 600_000)
        put = entry("01ABCDEFGH000001")
        message = evolve(put.message, message=Message(await writer.finish(), b"\r\n"))
        putting = Deferred.fromCoroutine(self.store.put(Entry(message, put.deliveries)))
        putting.addErrback(lambda failure: failure.trap(CancelledError))
        putting.cancel()
        await writer.abort()
        await self.store.close()
        self.store = self.reopened()
        await self.store.open()
        found = await self.store.message("01ABCDEFGH000001")
        assert found is not None
        with found.message.content.open() as file:
            self.assertEqual(len(file.read()), 600_002)

    async def test_content_of_another_place_is_refused(self) -> None:
        put = entry()
        message = Message(FileContent("/etc/hostname", 1), b"\r\n")
        with self.assertRaises(ValueError):
            await self.store.put(Entry(evolve(put.message, message=message), put.deliveries))

    async def test_an_id_that_is_a_path_is_refused(self) -> None:
        writer = self.store.new_content("../escape")
        await writer.write(b"x" * 2000)
        with self.assertRaises(ValueError):
            await writer.finish()

    async def test_one_bad_change_does_not_fail_its_neighbours(self) -> None:
        await self.store.put(entry("01ABCDEFGH000001"))
        ids = [f"01ABCDEFGH{n:06}" for n in (2, 3, 1, 4, 5)]
        puts = [Deferred.fromCoroutine(self.store.put(entry(message_id))) for message_id in ids]
        results = await DeferredList(puts, consumeErrors=True)
        self.assertEqual([ok for ok, _ in results], [True, True, False, True, True])
        self.assertEqual(await self.store.size(), QueueSize(5, 5))

    async def test_what_comes_together_is_committed_together(self) -> None:
        assert isinstance(self.store, SqliteStore)
        statements: list[str] = []
        self.store._opened.writer._connection.set_trace_callback(statements.append)
        puts = [entry(f"01ABCDEFGH{n:06}") for n in range(50)]
        await gatherResults([Deferred.fromCoroutine(self.store.put(put)) for put in puts])
        self.assertEqual(statements.count("COMMIT"), 1)
        settling = [Deferred.fromCoroutine(self.store.settle([Settlement(put.deliveries[0].id)])) for put in puts]
        await self.store.put(entry("01ABCDEFGH000050"))
        self.assertTrue(all(one.called for one in settling), "settlements go with a message")
        self.assertEqual(statements.count("COMMIT"), 2)

    async def test_many_rows_in_one_change(self) -> None:
        put = entry(destinations=tuple(Destination("maildir", f"user{n}@example.org", "inbox") for n in range(1000)))
        await self.store.put(put)
        self.assertEqual(await self.store.size(), QueueSize(1, 1000))
        await self.store.settle([Settlement(delivery.id) for delivery in put.deliveries])
        self.assertEqual(await self.store.size(), QueueSize(0, 0))

    async def test_any_text_of_a_remote_can_be_written(self) -> None:
        put = entry()
        await self.store.put(put)
        retry = evolve(put.deliveries[0], last="said \udcff\x00 ü")
        await self.store.settle([Settlement(retry.id, retry)])
        (found,) = await self.store.due(math.inf, 10)
        self.assertEqual(found.last, "said ?\x00 ü")

    async def test_a_scheduler_empties_it(self) -> None:
        for n in range(300):
            await self.store.put(entry(f"01ABCDEFGH{n:06}", (RELAY, OTHER) if n % 2 else (OTHER,)))
        agent = FakeAgent()
        scheduler = Scheduler(self.store, {"relay": agent}, FakeReporter(), reactor, Random(1), Queue(window=50))
        scheduler.start()
        while (await self.store.size()).messages:
            await deferLater(reactor, 0.01)
        await scheduler.stop(1.0)
        self.assertEqual(len(agent.attempts), 450)

    async def test_closed_store_fails_temporarily(self) -> None:
        await self.store.close()
        with self.assertRaises(TemporaryFailure):
            await self.store.put(entry())
        with self.assertRaises(TemporaryFailure):
            await self.store.message("01ABCDEFGH000001")
