"""The scheduler against chance: slow and failing stores, agents that do everything; what must hold always, holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Queue
from mailgw.mail.reply import TemporaryFailure
from mailgw.queue import backlog
from mailgw.queue.item import Delayed, Delivered, Delivery, Destination, Failed, Outcome, QueuedMessage
from mailgw.queue.memory import MemoryStore
from mailgw.queue.scheduler import Scheduler
from tests.queue.fakes import FakeReporter
from tests.queue.items import as_bulk, entry


class SlowStore(MemoryStore):
    """Answers after a while with what held at a moment before; fails now and then."""

    def __init__(self, clock: Clock, random: Random) -> None:
        super().__init__()
        self._clock: Any = clock
        self._random = random
        self.trouble = 0.05

    async def _later(self, name: str, *args: Any, **kwargs: Any) -> Any:
        await deferLater(self._clock, self._random.uniform(0.0, 0.5))
        if self._random.random() < self.trouble:
            raise TemporaryFailure("by chance")
        result = await getattr(MemoryStore, name)(self, *args, **kwargs)
        await deferLater(self._clock, self._random.uniform(0.0, 0.5))
        return result

    async def settle(self, *args: Any) -> None:
        await self._later("settle", *args)

    async def due(self, *args: Any, **kwargs: Any) -> Sequence[Delivery]:
        found: Sequence[Delivery] = await self._later("due", *args, **kwargs)
        return found

    async def next_due(self, *args: Any, **kwargs: Any) -> float | None:
        found: float | None = await self._later("next_due", *args, **kwargs)
        return found

    async def message(self, *args: Any) -> QueuedMessage | None:
        found: QueuedMessage | None = await self._later("message", *args)
        return found


class ChanceAgent:
    max_recipients = 3

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock: Any = clock
        self._random = random
        self.under_way: set[tuple[str, int]] = set()
        self.delivered: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []

    async def site(self, destination: Destination) -> str:
        if self._random.random() < 0.5:
            await deferLater(self._clock, self._random.uniform(0.0, 3.0))
        return destination.target[-1]  # some domains share a site

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        for delivery in deliveries:
            if delivery.id in self.under_way:
                self.wrong.append(f"{delivery.id} twice at the same time")
            if delivery.id in self.delivered:
                self.wrong.append(f"{delivery.id} again after it was delivered")
            self.under_way.add(delivery.id)
        chance = self._random.random()
        if chance < 0.7:
            await deferLater(self._clock, self._random.expovariate(0.5))
        for delivery in deliveries:
            self.under_way.discard(delivery.id)
        if chance < 0.05:
            return [Delayed("4.4.1", "down", site_wide=True)] * len(deliveries)
        outcomes = [self.outcome() for _ in deliveries]
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if not isinstance(outcome, Delayed):
                self.delivered[delivery.id] += 1
        return outcomes

    def outcome(self) -> Outcome:
        chance = self._random.random()
        if chance < 0.2:
            return Delayed("4.2.0", "later")
        return Failed("5.1.1", "never") if chance < 0.3 else Delivered("there")

    async def close(self) -> None:
        pass


class SimulationTests(SynchronousTestCase):
    def run_once(self, seed: int, *, set_back: float = 0.0) -> None:
        random, clock = Random(seed), Clock()
        store, agent = SlowStore(clock, random), ChanceAgent(clock, random)
        window = random.choice((1, 2, 7, 30, 1000))
        settings = Queue(
            window=window,
            concurrency=random.choice((1, 3, 20)),
            site_concurrency=random.choice((1, 4)),
            retry=(10.0, 50.0),
            lifetime=300.0,
        )
        scheduler = Scheduler(store, {"relay": agent}, FakeReporter(), clock, random, settings)
        destinations = [Destination("relay", f"mx:{n}.example{n % 3}") for n in range(8)]
        count = random.choice((5, 60, 200))
        puts: dict[int, list[int]] = {}
        for n in range(count):
            puts.setdefault(random.randrange(100) if n % 2 else 0, []).append(n)
        for second in range(20000):
            for n in puts.pop(second, ()):
                chosen = tuple(random.choices(destinations, k=random.choice((1, 1, 2, 8))))
                put = entry(f"S{n:09}", chosen, due=clock.seconds(), expires=clock.seconds() + 300.0)
                if n % 3 == 0:
                    put = as_bulk(put)
                self.successResultOf(Deferred.fromCoroutine(store.put(put)))
                scheduler.offer(put)
            if second == 2:
                scheduler.start()
            clock.advance(random.uniform(0.1, 1.9))
            if set_back and second in (20, 60, 150):
                clock.rightNow = max(0.0, clock.rightNow - random.uniform(0.0, set_back))
            self.assertLessEqual(scheduler._window.size - scheduler._window.room, window)
            if second > 200 and not store._messages and not puts:
                break
        self.assertEqual(agent.wrong, [], f"seed {seed}")
        self.assertEqual(list(store._messages), [], f"seed {seed}: left in the queue")
        clock.advance(5.0)
        self.assertEqual(scheduler._window.ids, frozenset(), f"seed {seed}")
        self.assertEqual((scheduler._turns.active, scheduler._tasks), (0, set()), f"seed {seed}")
        stopped = Deferred.fromCoroutine(scheduler.stop(1.0))
        clock.pump([1.0] * 5)
        self.successResultOf(stopped)
        self.assertEqual(clock.getDelayedCalls(), [], f"seed {seed}")

    def test_by_chance(self) -> None:
        # No scan from the start again: nothing may need it.
        self.patch(backlog, "_RESCAN_INTERVAL", 1e9)
        for seed in range(12):
            self.run_once(seed)

    def test_with_a_wall_clock_that_is_set_back(self) -> None:
        for seed in range(100, 104):
            self.run_once(seed, set_back=100.0)
