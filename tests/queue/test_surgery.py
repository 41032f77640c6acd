"""Changes by a person beside a running scheduler: what waits follows them, what is under way ends first."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.config.schema import Queue
from mailgw.queue import quarantine
from mailgw.queue import surgery as surgeries
from mailgw.queue.item import Delayed, Delivered, Delivery, Destination, Failed
from mailgw.queue.nudge import nudge
from mailgw.queue.scheduler import Scheduler
from mailgw.queue.schema import open_database
from mailgw.queue.selection import Selection
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry, QueueSize, QueueUnusable
from mailgw.queue.surgery import Change, Surgery, discard, flush, hold, release, remove, reroute
from tests.queue.fakes import FakeAgent, FakeReporter
from tests.queue.items import entry

clock: Any = reactor
RELAY = Destination("relay", "mx:example.org")
DOWN = Delayed("4.4.1", "no answer", site_wide=True)


class DamagedQueueTests(SynchronousTestCase):
    def test_what_cannot_be_read_is_said_in_words(self) -> None:
        """`mailgw quarantine` ended with a traceback."""
        directory = Path(self.mktemp())
        directory.mkdir()
        open_database(directory).close()
        with closing(Surgery(directory)) as surgery:
            surgery._connection.execute("DROP TABLE deliveries")
            for selection in (Selection(held=True), Selection(ids=frozenset({"01AAAAAAAA000001"}))):
                error = self.assertRaises(QueueUnusable, surgery.select, selection)
                self.assertIn(f"the queue in {directory} cannot be read", str(error))


class HeldTests(TestCase):
    """What is in quarantine, in the queue's files."""

    async def test_what_is_about_to_be_thrown_away_is_left_to_the_gateway(self) -> None:
        directory = Path(self.mktemp())
        store = SqliteStore(directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        for number, due in ((1, 1000.0 + 59), (2, 1000.0 + 61)):
            put = entry(f"01ABCDEFGH{number:06}")
            await store.put(Entry(put.message, tuple(quarantine.hold(d, due) for d in put.deliveries)))
        await store.close()
        with closing(Surgery(directory)) as surgery:
            self.assertEqual(surgery.select(Selection(held=True)), QueueSize(2, 2))
            held = list(surgery.deliveries())
            released: list[Delivery] = []
            self.assertEqual(surgery.change(held, release(1000.0, 60.0), released.extend), 1)
            self.assertEqual([d.message_id for d in released], ["01ABCDEFGH000002"])
            self.assertEqual(surgery.change(held, discard(1000.0)), 0)  # it is no longer as it was selected
            surgery.select(Selection(held=False))
            self.assertEqual([e.message.id for e in surgery.entries()], ["01ABCDEFGH000002"])

    async def test_more_than_is_written_at_once(self) -> None:
        directory = Path(self.mktemp())
        store = SqliteStore(directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        await store.put(*(entry(f"01ABCDEFGH{number:06}") for number in range(1201)))
        await store.close()
        with closing(Surgery(directory)) as surgery:
            self.assertEqual(surgery.select(Selection()), QueueSize(1201, 1201))
            self.assertEqual(surgery.change(surgery.deliveries(), remove), 1201)
            self.assertEqual(surgery.select(Selection()), QueueSize(0, 0))

    async def test_a_gateway_hears_of_a_long_change_from_its_first_page_on_and_when_it_is_interrupted(self) -> None:
        directory = Path(self.mktemp())
        store = SqliteStore(directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        await store.put(*(entry(f"01ABCDEFGH{number:06}") for number in range(1201)))
        told: list[bool] = []
        self.patch(surgeries, "monotonic", lambda: 1000.0)

        def interrupt(delivery: Delivery) -> None:
            if delivery.message_id == "01ABCDEFGH001100":
                raise KeyboardInterrupt

        with closing(Surgery(directory)) as surgery:
            surgery.select(Selection())
            with self.assertRaises(KeyboardInterrupt):
                surgery.change(surgery.deliveries(), interrupt, lambda _: told.append(store.changed()))
            self.assertEqual(told, [True, False])  # not each time: it reads all that is due again
            self.assertTrue(store.changed())
            self.assertEqual(surgery.select(Selection()), QueueSize(201, 201))
        await store.close()


class BesideTests(TestCase):
    async def start(self, **settings: Any) -> None:
        self.directory = Path(self.mktemp())
        self.store = SqliteStore(self.directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await self.store.open()
        self.agent = FakeAgent()
        self.reporter = FakeReporter()
        self.scheduler = Scheduler(
            self.store, {"relay": self.agent}, self.reporter, clock, Random(1), Queue(**{"jitter": 0.0, **settings})
        )
        self.scheduler.start()
        # Also after a failure: the threads of a store that is left open keep the process from ending.
        self.addCleanup(lambda: Deferred.fromCoroutine(self.stop()))

    async def stop(self) -> None:
        await self.scheduler.stop(1.0)
        await self.store.close()

    async def put(self, *numbers: int) -> None:
        now = clock.seconds()
        for n in numbers:
            put = entry(f"01ABCDEFGH{n:06}", due=now, expires=now + 10000)
            await self.store.put(put)
            self.scheduler.offer(put)

    def operate(self, change: Change, **selection: Any) -> int:
        with closing(Surgery(self.directory)) as surgery:
            surgery.select(Selection(held=False, **selection))
            return surgery.change(surgery.deliveries(), change)

    async def until(self, condition: Any) -> None:
        for _ in range(500):
            if condition():
                return
            await deferLater(clock, 0.01)
        self.fail("it did not come to hold")

    async def destinations(self) -> list[str]:
        return [str(d.destination) for e in await self.store.entries(10) for d in e.deliveries]

    @property
    def attempted(self) -> list[str]:
        return [message_id for message_id, _ in self.agent.attempts]

    async def test_what_waits_in_memory_is_not_attempted_after_its_deletion(self) -> None:
        await self.start(site_concurrency=1)
        self.agent.answer = lambda delivery: None  # attempts last until the test ends them
        await self.put(1, 2, 3)
        self.assertEqual(self.operate(remove, ids=frozenset({"01ABCDEFGH000002"})), 1)
        self.scheduler.look_again()
        await self.until(lambda: len(self.attempted) == 1)
        for _ in range(2):
            count = len(self.attempted)
            self.agent.end(Delivered("there"))
            await self.until(lambda count=count: len(self.attempted) > count or count == 2)  # type: ignore[misc]
        self.assertEqual(self.attempted, ["01ABCDEFGH000001", "01ABCDEFGH000003"])
        await self.stop()

    async def test_no_attempt_begins_between_a_deletion_and_the_next_look(self) -> None:
        """What waited in memory went out for about a second after `mailgw queue delete` and `hold` had ended."""
        for change in (remove, hold(clock.seconds() + 5000)):
            await self.start(site_concurrency=1)
            self.agent.answer = lambda delivery: None
            await self.put(1, 2, 3)
            self.assertEqual(self.operate(change, ids=frozenset({"01ABCDEFGH000002"})), 1)
            self.agent.end(Delivered("there"))
            await self.until(lambda: len(self.attempted) == 2)
            self.agent.end(Delivered("there"))
            await deferLater(clock, 0.1)
            self.assertEqual(self.attempted, ["01ABCDEFGH000001", "01ABCDEFGH000003"])
            await self.stop()

    async def test_no_attempt_begins_against_a_change_whose_command_was_killed(self) -> None:
        await self.start(site_concurrency=1)
        self.agent.answer = lambda delivery: None
        await self.put(1, 2, 3)

        def killed(changed: Sequence[Delivery]) -> None:
            raise KeyboardInterrupt

        self.patch(surgeries, "nudge", lambda directory: (nudge(directory), self.patch(surgeries, "nudge", killed)))
        with closing(Surgery(self.directory)) as surgery:
            surgery.select(Selection(ids=frozenset({"01ABCDEFGH000002"})))
            self.assertRaises(KeyboardInterrupt, surgery.change, surgery.deliveries(), remove, killed)
        self.agent.end(Delivered("there"))
        await self.until(lambda: len(self.attempted) == 2)
        self.agent.end(Delivered("there"))
        await self.until(lambda: not self.scheduler._window.ids)
        self.assertEqual(self.attempted, ["01ABCDEFGH000001", "01ABCDEFGH000003"])
        await self.stop()

    async def test_what_was_read_from_the_store_is_checked_before_its_attempt(self) -> None:
        """A page of a long deletion is written, and nobody has been told yet."""
        await self.start(site_concurrency=1)
        self.agent.answer = lambda delivery: None
        await self.put(1)
        await self.until(lambda: not self.scheduler._backlog._reading)
        now = clock.seconds()
        put = entry("01ABCDEFGH000002", (RELAY, RELAY, RELAY), due=now, expires=now + 10000)
        await self.store.put(put)
        self.scheduler._backlog.expect(put.deliveries[0])  # it is read into memory, without its message
        await self.until(lambda: len(self.scheduler._window.ids) == 4)
        with closing(Surgery(self.directory)) as surgery:
            surgery._apply([(put.deliveries[0], None), (put.deliveries[2], hold(now + 5000)(put.deliveries[2]))])
        self.agent.end(Delivered("there"))
        await self.until(lambda: len(self.attempted) == 2)
        self.assertEqual(self.agent.attempts[1], ("01ABCDEFGH000002", (1,)))
        self.agent.end(Delivered("there"))
        await self.until(lambda: not self.scheduler._window.ids)
        self.assertEqual(await self.destinations(), ["quarantine:relay:mx:example.org"])
        await self.stop()

    async def test_an_attempt_that_fails_for_good_does_not_undo_a_change(self) -> None:
        """What was held or sent elsewhere during an attempt went when that failed, with a report."""
        now = clock.seconds()
        for change, left in (
            (hold(now + 5000), ["quarantine:relay:mx:example.org"]),
            (reroute("route:smart", now + 5000), ["relay:route:smart"]),
            (remove, []),
        ):
            await self.start()
            self.agent.answer = lambda delivery: None
            await self.put(1)
            await self.until(lambda: self.attempted)
            self.operate(change, ids=frozenset({"01ABCDEFGH000001"}))
            self.agent.end(Failed("5.1.1", "no such user"))
            await self.until(lambda: not self.scheduler._window.ids)
            self.assertEqual(await self.destinations(), left)
            self.assertEqual(self.reporter.told, [])
            await self.stop()

    async def test_of_an_attempt_that_fails_for_good_the_unchanged_rest_fails(self) -> None:
        await self.start()
        self.agent.answer = lambda delivery: None if delivery.number == 0 else Failed("5.1.1", "no such user")
        now = clock.seconds()
        put = entry("01ABCDEFGH000001", (RELAY, RELAY), due=now, expires=now + 10000)
        await self.store.put(put)
        self.scheduler.offer(put)
        await self.until(lambda: self.attempted)
        with closing(Surgery(self.directory)) as surgery:
            self.assertEqual(surgery.change(put.deliveries[:1], hold(now + 5000)), 1)
        self.agent.end(Failed("5.1.1", "no such user"))
        await self.until(lambda: self.reporter.told)
        self.assertEqual([n for _, told in self.reporter.told for n, _ in told], [1])
        await self.stop()

    async def test_an_attempt_that_fails_for_now_does_not_undo_a_change(self) -> None:
        await self.start()
        self.agent.answer = lambda delivery: None
        await self.put(1)
        await self.until(lambda: self.attempted)
        self.operate(hold(clock.seconds() + 5000), ids=frozenset({"01ABCDEFGH000001"}))
        self.agent.end(Delayed("4.2.0", "later"))
        await deferLater(clock, 0.1)
        self.assertEqual(await self.destinations(), ["quarantine:relay:mx:example.org"])
        await self.stop()

    async def test_an_attempt_that_delivers_has_delivered(self) -> None:
        await self.start()
        self.agent.answer = lambda delivery: None
        await self.put(1)
        await self.until(lambda: self.attempted)
        self.operate(reroute("route:smart", clock.seconds()), ids=frozenset({"01ABCDEFGH000001"}))
        self.agent.end(Delivered("there"))
        for _ in range(100):
            if not await self.store.entries(10):
                break
            await deferLater(clock, 0.01)
        self.assertEqual(await self.destinations(), [])
        await self.stop()

    async def test_sent_elsewhere_during_an_attempt_that_fails_for_now_it_goes_there_at_once(self) -> None:
        await self.start(retry=(3600.0,))
        self.agent.answer = lambda delivery: None
        await self.put(1)
        await self.until(lambda: self.attempted)
        self.operate(reroute("route:smart", clock.seconds()), ids=frozenset({"01ABCDEFGH000001"}))
        self.scheduler.look_again()
        self.agent.end(Delayed("4.2.0", "later"))
        await self.until(lambda: len(self.attempted) == 2)
        self.agent.end(Delivered("there"))
        await self.stop()

    async def test_what_waits_for_its_site_is_not_attempted_after_its_deletion(self) -> None:
        await self.start()
        asked: Deferred[str] = Deferred()

        async def site(destination: Destination) -> str:
            return await asked

        self.agent.site = site  # type: ignore[method-assign]
        await self.put(1, 2)
        self.assertEqual(self.operate(remove, ids=frozenset({"01ABCDEFGH000001"})), 1)
        self.scheduler.look_again()
        await deferLater(clock, 0.1)
        asked.callback("a site")
        await self.until(lambda: self.attempted)
        await deferLater(clock, 0.1)
        self.assertEqual(self.attempted, ["01ABCDEFGH000002"])
        await self.stop()

    async def test_flush_tries_a_site_that_is_left_alone(self) -> None:
        await self.start(retry=(3600.0,))
        self.agent.answer = lambda delivery: DOWN
        await self.put(1)
        await self.until(lambda: self.attempted)
        await deferLater(clock, 0.1)
        self.agent.answer = lambda delivery: Delivered("there")
        self.assertEqual(self.operate(flush(clock.seconds()), destination="relay:*"), 1)
        self.scheduler.look_again()
        await self.until(lambda: len(self.attempted) == 2)
        await self.stop()

    async def test_what_is_gone_is_not_brought_back(self) -> None:
        await self.start()
        await self.put(1)  # delivered at once
        with closing(Surgery(self.directory)) as surgery:
            stale = entry("01ABCDEFGH000001", (Destination("relay", "mx:example.org"),))
            for _ in range(100):
                if not await self.store.entries(10):
                    break
                await deferLater(clock, 0.01)
            self.assertEqual(surgery.change(stale.deliveries, flush(0.0)), 0)
        self.assertEqual(await self.destinations(), [])
        await self.stop()
