"""A site: what shares concurrency and back-off. Its deliveries wait here, grouped into what one attempt takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf

from attrs import Factory, define, field
from twisted.internet.interfaces import IDelayedCall

from mailgw.queue.item import Delayed, Delivery, Destination, Priority, QueuedMessage
from mailgw.queue.pace import Pace
from mailgw.queue.priority import room_for
from mailgw.queue.retry import RetryPolicy

# One turn of so many is for bulk, while there is any.
_TURNS = 8


@define(eq=False)
class Job:
    """What one attempt takes: deliveries of one message to one destination."""

    message_id: str
    destination: Destination
    deliveries: list[Delivery]
    message: QueuedMessage | None
    """None: it is read from the store when the attempt begins."""

    @property
    def priority(self) -> Priority:
        return self.deliveries[0].priority


@define(eq=False)
class Lane:
    """What a site has of one priority."""

    jobs: deque[Job] = Factory(deque)
    active: int = 0
    """Attempts under way."""
    held: int = 0
    """Deliveries in memory: waiting, under way, or being settled."""
    queued: int = 0
    """Deliveries in memory that wait."""
    parked: dict[str, float] = Factory(dict)
    """Destinations (as text) with deliveries that were left in the store, and the due time from which on."""


@define(eq=False)
class Site:
    """One site.

    It begins with `start` attempts at the same time. Each that reaches it allows one more, up to `concurrency`: so they
    double in a round. Each that does not takes one away; when a whole round of them fails, or nothing has succeeded
    yet, the site is left alone for a while (`pause`), and then begins again with one attempt at a time. That is the
    feedback of Postfix's queue manager.
    """

    name: str
    concurrency: int
    start: int
    retry: RetryPolicy
    pace: Pace | None = None
    """How often an attempt may begin; None: as often as may be."""
    limit: int = field(init=False)
    """Attempts at the same time, for now."""
    failures: int = 0
    """Failures of the site in a row."""
    paused: IDelayedCall | None = None
    """While it is left alone: the call that ends that."""
    last: Delayed | None = None
    """The last trouble of the site, while it lasts."""
    lanes: tuple[Lane, ...] = Factory(lambda: tuple(Lane() for _ in Priority))
    _open: dict[tuple[str, Destination], Job] = Factory(dict)
    _turns: int = 0
    _paused_at: float = -inf
    _alive: bool = False
    """Whether an attempt has reached it since it was left alone."""
    _failed_rounds: float = 0.0
    """Failures since the last success, each as a part of the attempts that there were at the same time."""

    def __attrs_post_init__(self) -> None:
        self.limit = min(self.start, self.concurrency)

    def held(self, priority: Priority) -> int:
        """Deliveries in memory that one of that priority has beside it: people's mail does not see the rest."""
        people, bulk = self.lanes
        return people.held if priority is Priority.PEOPLE else people.held + bulk.held

    def taken(self, priority: Priority) -> int:
        """Attempts under way, in the same sense."""
        people, bulk = self.lanes
        return people.active if priority is Priority.PEOPLE else people.active + bulk.active

    @property
    def idle(self) -> bool:
        """Whether nothing would be forgotten with it."""
        return self.paused is None and not any(lane.held or lane.parked for lane in self.lanes)

    def add(self, delivery: Delivery, message: QueuedMessage | None, max_recipients: int) -> None:
        """Let a delivery wait; it joins others of its message to its destination while they fit."""
        lane = self.lanes[delivery.priority]
        lane.held += 1
        lane.queued += 1
        key = (delivery.message_id, delivery.destination)
        job = self._open.get(key)
        if job is not None and len(job.deliveries) < max_recipients:
            job.deliveries.append(delivery)
            job.message = job.message or message
            return
        job = Job(delivery.message_id, delivery.destination, [delivery], message)
        self._open[key] = job
        lane.jobs.append(job)

    def may_begin(self, priority: Priority) -> bool:
        """Whether a job of that priority waits, and the site has a place for it."""
        people, bulk = self.lanes
        return bool(self.lanes[priority].jobs) and room_for(priority, self.limit, people.active, bulk.active) > 0

    def next(self, priority: Priority) -> Job:
        """Take the job of that priority that waits longest. But one turn in so many is that of the rest: however much
        mail of people there is, it moves."""
        lane = self.lanes[priority]
        self._turns += 1
        if self._turns % _TURNS == 0 and self.lanes[Priority.BULK].jobs:
            lane = self.lanes[Priority.BULK]
        job = lane.jobs.popleft()
        key = (job.message_id, job.destination)
        if self._open.get(key) is job:
            del self._open[key]
        lane.queued -= len(job.deliveries)
        lane.active += 1
        return job

    def ended(self, job: Job) -> None:
        """The attempt is over; what it was about is still held, until it is settled."""
        self.lanes[job.priority].active -= 1

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """They are settled, or somebody has taken them away."""
        for delivery in deliveries:
            self.lanes[delivery.priority].held -= 1

    def clear(self) -> list[Delivery]:
        """Take out everything that waits."""
        deliveries = []
        for lane in self.lanes:
            deliveries += [delivery for job in lane.jobs for delivery in job.deliveries]
            lane.jobs.clear()
            lane.held -= lane.queued
            lane.queued = 0
        self._open.clear()
        return deliveries

    def park(self, priority: Priority, destination: str, due: float) -> None:
        """Remember that the store holds deliveries for a destination, due from then on, that are not in memory."""
        parked = self.lanes[priority].parked
        parked[destination] = min(due, parked.get(destination, inf))

    def succeeded(self) -> None:
        """The site answered as a site should (though perhaps with a refusal of this message)."""
        self.failures = 0
        self.last = None
        self._alive = True
        self._failed_rounds = 0.0
        self.limit = min(self.concurrency, self.limit + 1)

    def failed(self, started: float, now: float, outcome: Delayed) -> bool:
        """An attempt has not reached the site; say whether it is to be left alone now.

        Attempts that were under way when that was decided tell the same again: they count once.
        """
        # Behind a clock that was set back it would be decided in the future.
        if self.paused is not None or started < self._paused_at <= now:
            self.last = outcome
            return False
        self._failed_rounds += 1 / self.limit
        if self._alive and self._failed_rounds < 1:
            self.limit -= 1
            return False
        self.last = outcome
        self.failures += 1
        self.limit = 1
        self._alive = False
        self._failed_rounds = 0.0
        self._paused_at = now
        return True
