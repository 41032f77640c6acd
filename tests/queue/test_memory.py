"""How much memory a full window takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import FileContent, Message
from mailgw.queue import window
from mailgw.queue.item import Delivery, Destination
from mailgw.queue.memory import MemoryStore
from mailgw.queue.store import Entry, Settlement
from mailgw.queue.window import Window, octets_of
from tests.queue.items import RELAY, entry
from tests.queue.test_scheduler import SchedulerCase, number

MESSAGES = 2000
SIZE = 100_000
CONCURRENCY = 10


def large(message_id: str) -> Entry:
    return entry(message_id, data=b"Subject: large\r\n\r\n" + bytes(SIZE))


class DiskStore(MemoryStore):
    """Takes no memory for what it holds: it makes each message anew when it is asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.settled = 0

    async def standing(self, deliveries: Sequence[Delivery]) -> Entry | None:
        self.read += 1
        return Entry(large(deliveries[0].message_id).message, tuple(deliveries))

    async def settle(self, settlements: Sequence[Settlement], reports: Sequence[Entry] = ()) -> None:
        self.settled += len(settlements)


class FullWindowTests(SchedulerCase):
    def test_large_messages(self) -> None:
        """2000 messages of 100 KB are 200 MB; in memory is the budget, and what is under way."""
        self.store = store = DiskStore()
        self.agent.answer = lambda delivery: None
        scheduler = self.make_scheduler(window=2 * MESSAGES, concurrency=CONCURRENCY, site_concurrency=CONCURRENCY)
        scheduler.start()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for n in range(MESSAGES):
            scheduler.offer(self.spread(large(number(n)), n))
        current, _ = tracemalloc.get_traced_memory()
        self.assertLess(current, window.KEPT + CONCURRENCY * SIZE + 8 * 1024 * 1024)
        self.assertGreater(current, window.KEPT // 2)  # it is of use, too
        tracemalloc.stop()
        while self.agent.under_way:
            self.agent.messages.clear()
            self.agent.end(count=CONCURRENCY)
        self.assertEqual(store.settled, MESSAGES)
        self.assertGreater(store.read, MESSAGES // 2)

    def spread(self, one: Entry, n: int) -> Entry:
        """Over a few sites: none may have the whole window."""
        deliveries = tuple(
            evolve(delivery, destination=Destination("relay", f"mx:d{n % 20}.example")) for delivery in one.deliveries
        )
        return evolve(one, deliveries=deliveries)


def delivery(n: int, of: int) -> Delivery:
    return entry(number(n), (RELAY,) * 3).deliveries[of]


class WindowTests(SynchronousTestCase):
    def test_a_message_counts_once_for_all_its_deliveries(self) -> None:
        message = large(number(1)).message
        self.patch(window, "KEPT", octets_of(message) * 2)
        here = Window(10)
        for n in range(3):
            self.assertIs(here.enter(delivery(1, n), message), message)
        other = large(number(2)).message
        self.assertIs(here.enter(delivery(2, 0), other), other)
        third = large(number(3)).message
        self.assertIsNone(here.enter(delivery(3, 0), third))
        here.leave((number(1), 0))
        here.leave((number(1), 1))
        self.assertIsNone(here.enter(delivery(3, 1), third))
        here.leave((number(1), 2))
        self.assertIs(here.enter(delivery(3, 2), third), third)
        self.assertEqual(here.room, 10 - 4)

    def test_what_is_in_memory_of_a_content_in_a_file_counts(self) -> None:
        one = entry().message
        head = b"Subject: x\r\n" * 10_000
        message = evolve(one, message=Message(FileContent("/queue/content/1", 10**9), head, b"Received: x\r\n"))
        self.assertGreater(octets_of(message), len(head))
        self.assertLess(octets_of(message), len(head) + 10_000)

    def test_recipients_count(self) -> None:
        self.assertGreater(octets_of(entry(destinations=(RELAY,) * 1000).message), 300_000)
