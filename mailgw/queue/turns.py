"""Whose turn it is: starts attempts, people's mail first, and the sites in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailgw.queue.item import Priority
from mailgw.queue.pace import Pace
from mailgw.queue.priority import room_for
from mailgw.queue.site import Job, Site
from mailgw.queue.window import may_grow

_PRIORITIES = tuple(Priority)


class Turns:
    def __init__(
        self, concurrency: int, begin: Callable[[Site, Job], None], wake: Callable[[], None], clock: IReactorTime
    ) -> None:
        """`begin` is called with each job whose turn has come, `concurrency` of them at a time at most; `wake` when it
        has become time for one."""
        self._wake = wake
        self._clock = clock
        self._postponed: dict[Site, IDelayedCall] = {}
        self._concurrency = concurrency
        self._begin = begin
        self._active = [0 for _ in Priority]
        self._ready: tuple[dict[Site, None], ...] = tuple({} for _ in Priority)
        self._held = False

    @property
    def active(self) -> int:
        """Attempts under way."""
        return sum(self._active)

    @property
    def waiting(self) -> bool:
        """Whether there may be something to start."""
        people, bulk = self._ready
        return bool(people or bulk)

    @property
    def are_held(self) -> bool:
        return self._held

    def ready(self, site: Site) -> None:
        """Jobs wait there: at the end of the line, unless it stands in it already."""
        for lane, ready in zip(site.lanes, self._ready, strict=True):
            if lane.jobs:
                ready[site] = None

    def clear(self) -> None:
        """Nothing waits any more."""
        for call in self._postponed.values():
            call.cancel()
        self._postponed.clear()
        for ready in self._ready:
            ready.clear()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Begin nothing in this context: what comes to the sites meanwhile may go together."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before

    def ended(self, site: Site, job: Job) -> None:
        """An attempt is over."""
        self._active[job.priority] -= 1
        site.ended(job)
        self.ready(site)

    def go(self) -> None:
        """Start what may start."""
        if self._held or not self.waiting:
            return  # an attempt that ends at once comes back here: the loop below sees what it freed
        held_back: list[tuple[Priority, Site]] = []
        self._held = True
        try:
            while self._start_one(held_back):
                pass
        finally:
            self._held = False
            for priority, site in held_back:
                self._ready[priority][site] = None

    def _is_time(self, site: Site, pace: Pace) -> bool:
        """Whether an attempt may begin at the site now; else see to it that it comes back when one may."""
        now = self._clock.seconds()
        wait = pace.wait(now)
        if not wait:
            pace.take(now)
            return True
        if site not in self._postponed:
            self._postponed[site] = self._clock.callLater(wait, self._go_on, site)
        return False

    def _go_on(self, site: Site) -> None:
        del self._postponed[site]
        self.ready(site)
        self._wake()

    def _start_one(self, held_back: list[tuple[Priority, Site]]) -> bool:
        for priority, ready in zip(_PRIORITIES, self._ready, strict=True):
            if not ready:
                continue
            free = room_for(priority, self._concurrency, *self._active)
            while ready and free > 0:
                site = next(iter(ready))
                del ready[site]
                if not site.may_begin(priority):
                    continue  # it comes back with a delivery, or when an attempt ends
                if not may_grow(site.taken(priority), free):
                    held_back.append((priority, site))
                    continue
                if site.pace is not None and not self._is_time(site, site.pace):
                    continue  # it comes back when it is
                job = site.next(priority)
                self._active[job.priority] += 1
                self.ready(site)
                self._begin(site, job)
                return True
        return False
