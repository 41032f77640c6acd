"""What the tests of the scheduler share: a clock, a store in memory, an agent that does what the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Queue, SiteRule
from mailgw.mail.reply import Reply
from mailgw.queue.item import Delayed, Destination, Failed
from mailgw.queue.memory import MemoryStore
from mailgw.queue.scheduler import Scheduler
from mailgw.queue.store import Entry, QueueSize
from tests.queue.fakes import FakeAgent, FakeReporter

OTHER = Destination("relay", "mx:other.example")
LATER = Delayed("4.2.0", "greylisted", "mx.example.org", Reply.of(450, "4.2.0", "come back"))
DOWN = Delayed("4.4.1", "connection refused", "mx.example.org", site_wide=True)
NEVER = Failed("5.1.1", "no such user", "mx.example.org", Reply.of(550, "5.1.1", "who?"))


def number(n: int) -> str:
    return f"01ABCDEFGH{n:06}"


class SchedulerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.store = MemoryStore()
        self.agent = FakeAgent()
        self.reporter = FakeReporter()
        self.scheduler = self.make_scheduler()

    def make_scheduler(
        self, delay_reports: Sequence[float] = (), rules: Mapping[str, SiteRule] = {}, **settings: Any
    ) -> Scheduler:
        self.scheduler = Scheduler(
            self.store,
            {"relay": self.agent},
            self.reporter,
            self.clock,
            Random(1),
            Queue(**{"jitter": 0.0, "site_start": 1000, **settings}),
            delay_reports,
            rules=rules,
        )
        return self.scheduler

    def put(self, *entries: Entry) -> None:
        for one in entries:
            self.successResultOf(Deferred.fromCoroutine(self.store.put(one)))

    def offer(self, *entries: Entry) -> None:
        for one in entries:
            self.put(one)
            self.scheduler.offer(one)

    def size(self) -> QueueSize:
        return self.successResultOf(Deferred.fromCoroutine(self.store.size()))

    def deliveries(self) -> list[Any]:
        entries = self.successResultOf(Deferred.fromCoroutine(self.store.entries(10)))
        return [delivery for one in entries for delivery in one.deliveries]

    def stop(self, grace: float = 10.0) -> Deferred[None]:
        return Deferred.fromCoroutine(self.scheduler.stop(grace))
