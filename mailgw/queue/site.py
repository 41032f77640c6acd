"""A site: what shares concurrency and back-off. Its deliveries wait here, grouped into what one attempt takes."""

from __future__ import annotations

from collections import deque
from math import inf

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall

from mailgw.queue.item import Delayed, Delivery, Destination, QueuedMessage


@define(eq=False)
class Job:
    """What one attempt takes: deliveries of one message to one destination."""

    message_id: str
    destination: Destination
    deliveries: list[Delivery]
    message: QueuedMessage | None
    """None: it is read from the store when the attempt begins."""


@define(eq=False)
class Site:
    """One site of one agent.

    After trouble of the site itself it is left alone for a while (`pause`), and then begins again with one attempt at
    a time; each success doubles that up to `concurrency`.
    """

    agent: str
    name: str
    concurrency: int
    limit: int = field(init=False)
    """Attempts at the same time, for now."""
    active: int = 0
    """Attempts under way."""
    held: int = 0
    """Deliveries in memory: waiting, under way, or being settled."""
    queued: int = 0
    """Deliveries in memory that wait."""
    failures: int = 0
    """Failures of the site in a row."""
    paused: IDelayedCall | None = None
    """While it is left alone: the call that ends that."""
    last: Delayed | None = None
    """The last trouble of the site, while it lasts."""
    parked: dict[str, float] = field(factory=dict)
    """Destinations (as text) with deliveries that were left in the store, and the due time from which on."""
    jobs: deque[Job] = field(factory=deque)
    _open: dict[tuple[str, Destination], Job] = field(factory=dict)
    _paused_at: float = -inf

    def __attrs_post_init__(self) -> None:
        self.limit = self.concurrency

    @property
    def idle(self) -> bool:
        """Whether nothing would be forgotten with it."""
        return not self.held and not self.parked and self.paused is None

    def add(self, delivery: Delivery, message: QueuedMessage | None, max_recipients: int) -> None:
        """Let a delivery wait; it joins others of its message to its destination while they fit."""
        self.held += 1
        self.queued += 1
        key = (delivery.message_id, delivery.destination)
        job = self._open.get(key)
        if job is not None and len(job.deliveries) < max_recipients:
            job.deliveries.append(delivery)
            job.message = job.message or message
            return
        job = Job(delivery.message_id, delivery.destination, [delivery], message)
        self._open[key] = job
        self.jobs.append(job)

    def next(self) -> Job:
        """Take the job that waits longest."""
        job = self.jobs.popleft()
        key = (job.message_id, job.destination)
        if self._open.get(key) is job:
            del self._open[key]
        self.queued -= len(job.deliveries)
        return job

    def clear(self) -> list[Delivery]:
        """Take out everything that waits."""
        deliveries = [delivery for job in self.jobs for delivery in job.deliveries]
        self.jobs.clear()
        self._open.clear()
        self.queued = 0
        self.held -= len(deliveries)
        return deliveries

    def park(self, destination: str, due: float) -> None:
        """Remember that the store holds deliveries for a destination, due from then on, that are not in memory."""
        self.parked[destination] = min(due, self.parked.get(destination, inf))

    def succeeded(self) -> None:
        """The site answered as a site should (though perhaps with a refusal of this message)."""
        self.failures = 0
        self.last = None
        if self.limit < self.concurrency:
            self.limit = min(self.concurrency, self.limit * 2)

    def failed(self, started: float, now: float, outcome: Delayed) -> bool:
        """The site is in trouble; say whether that is news.

        Attempts that were under way when the trouble was first seen tell the same again: they count once.
        """
        self.last = outcome
        # Behind a clock that was set back it would be "first seen" in the future.
        if self.paused is not None or started < self._paused_at <= now:
            return False
        self.failures += 1
        self.limit = 1
        self._paused_at = now
        return True
