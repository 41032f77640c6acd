"""An agent and a reporter for the tests of the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from mailgw.queue.item import Delivered, Delivery, Destination, Failed, Outcome, QueuedMessage
from mailgw.queue.store import Entry
from tests.queue.items import entry

Answer = Outcome | Exception | None
"""What an attempt gives; None: it stays under way until the test ends it."""


class FakeAgent:
    """Notes each attempt. `answer` says what becomes of a delivery; sites are the destinations' targets."""

    max_recipients = 50

    def __init__(self, answer: Callable[[Delivery], Answer] = lambda delivery: Delivered("there")) -> None:
        self.answer = answer
        self.attempts: list[tuple[str, tuple[int, ...]]] = []
        self.messages: list[QueuedMessage] = []
        self.under_way: dict[tuple[str, int], Deferred[Outcome]] = {}
        self.most: dict[str, int] = {}
        self._active: dict[str, int] = {}
        self.sites: dict[str, str] = {}

    async def site(self, destination: Destination) -> str:
        return self.sites.get(destination.target, destination.target)

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        site = await self.site(deliveries[0].destination)
        self.attempts.append((message.id, tuple(delivery.number for delivery in deliveries)))
        self.messages.append(message)
        self._active[site] = self._active.get(site, 0) + 1
        self.most[site] = max(self.most.get(site, 0), self._active[site])
        outcomes = []
        try:
            for delivery in deliveries:
                if delivery.id in self.under_way:
                    raise AssertionError(f"{delivery.id} is attempted twice at the same time")
                answer = self.answer(delivery)
                if answer is None:
                    self.under_way[delivery.id] = Deferred()
                    try:
                        answer = await self.under_way[delivery.id]
                    finally:
                        del self.under_way[delivery.id]
                if isinstance(answer, Exception):
                    raise answer
                outcomes.append(answer)
        finally:
            self._active[site] -= 1
        return outcomes

    async def close(self) -> None:
        pass

    def end(self, outcome: Outcome | None = None, count: int = 1) -> None:
        """End the attempts that are under way longest."""
        for waiting in list(self.under_way.values())[:count]:
            waiting.callback(outcome or Delivered("there"))


class FakeReporter:
    """Reports to relay:mx:sender.example; notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[tuple[int, Any]]]] = []
        self.broken = False

    def report(self, message: QueuedMessage, results: Sequence[tuple[Delivery, Delivered | Failed]]) -> Sequence[Entry]:
        if self.broken:
            raise RuntimeError("the reporter is broken")
        self.told.append((message.id, [(delivery.number, outcome) for delivery, outcome in results]))
        if message.envelope.reverse_path is None:
            return ()
        report = Destination("relay", "mx:sender.example")
        return (entry(f"REPORT{len(self.told):010}", (report,), due=0.0, reverse_path=None),)
