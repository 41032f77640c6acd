"""Who is asked at once, and who gives way."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.slots import PATIENCE, Slots


class SlotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.slots = Slots(self.clock, 2)
        self.started: list[str] = []
        self.works: dict[str, Deferred[str]] = {}

    def work(self, name: str) -> Callable[[], Coroutine[Deferred[Any], Any, str]]:
        async def run() -> str:
            self.started.append(name)
            self.works[name] = Deferred()
            return await self.works[name]

        return run

    def start(self, name: str, *, retry: bool = False) -> Deferred[str]:
        return Deferred.fromCoroutine(self.slots.run(self.work(name), retry=retry))

    def test_they_run_while_there_is_room_and_then_in_order(self) -> None:
        a, b, c, d = (self.start(name) for name in "abcd")
        self.assertEqual(self.started, ["a", "b"])
        self.works["b"].callback("done")
        self.assertEqual(self.successResultOf(b), "done")
        self.assertEqual(self.started, ["a", "b", "c"])
        self.works["a"].errback(ValueError())
        self.failureResultOf(a, ValueError)
        self.assertEqual(self.started, ["a", "b", "c", "d"])
        for name, running in (("c", c), ("d", d)):
            self.works[name].callback(name)
            self.assertEqual(self.successResultOf(running), name)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_oldest_gives_way_when_it_has_had_its_time(self) -> None:
        a = self.start("a")
        self.clock.advance(PATIENCE / 2)
        b, c, d = (self.start(name) for name in "bcd")
        self.clock.advance(PATIENCE / 4)
        self.assertEqual(self.started, ["a", "b"])
        self.clock.advance(PATIENCE / 4)
        self.failureResultOf(a, TimeoutError)
        self.assertEqual(self.started, ["a", "b", "c"])
        self.clock.advance(PATIENCE / 2)
        self.failureResultOf(b, TimeoutError)
        self.assertEqual(self.started, ["a", "b", "c", "d"])
        for running in (c, d):
            self.assertNoResult(running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_gives_way_to_nobody(self) -> None:
        running = [self.start("a"), self.start("b")]
        self.clock.advance(100 * PATIENCE)
        for waiting in running:
            self.assertNoResult(waiting)

    def test_an_old_one_gives_way_at_once(self) -> None:
        a, _ = self.start("a"), self.start("b")
        self.clock.advance(2 * PATIENCE)
        self.start("c")
        self.failureResultOf(a, TimeoutError)
        self.assertEqual(self.started, ["a", "b", "c"])

    def test_a_retry_waits_for_nothing(self) -> None:
        self.start("a", retry=True)
        self.start("b")
        self.failureResultOf(self.start("c", retry=True), TimeoutError)
        self.assertEqual(self.started, ["a", "b"])

    def test_giving_up(self) -> None:
        a, b, c, d = (self.start(name) for name in "abcd")
        c.cancel()
        self.failureResultOf(c, CancelledError)
        a.cancel()
        self.failureResultOf(a, CancelledError)
        self.assertEqual(self.started, ["a", "b", "d"])
        self.assertNoResult(b)
        self.assertNoResult(d)
