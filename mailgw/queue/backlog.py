"""The backlog: brings due deliveries from the store into the window, as long as it has room.

The store is scanned in the order of due times, once, each priority by itself: everything due up to `scanned` is in the
window, or gone, or its destination is parked at its site, with the due time from which on deliveries for it were left
in the store; but for what found no room before its site was known: from `missed` on the scan begins again. So a
site with a long backlog costs memory for its share of the window only, and time only when its turn comes; mail for
others is found behind it. Now and then all is scanned anew, which finds what nobody told of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from math import inf
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from mailgw.mail.reply import TemporaryFailure
from mailgw.queue.item import Delivery, DeliveryId, Destination, Priority, QueuedMessage
from mailgw.queue.site import Site
from mailgw.queue.sites import Pending, Sites
from mailgw.queue.store import QueueStore
from mailgw.queue.window import Window, may_grow

# Deliveries read at once.
_READ = 500
# A site with so many rounds of deliveries in memory needs no more yet.
_ROUNDS = 4
_RESCAN_INTERVAL = 300.0
# After the store failed.
_REST = 10.0
# While little of the window is free, reads wait for each other: not one for each delivery that leaves.
_PATIENCE = 0.1


@define(eq=False)
class _Scan:
    """How far the deliveries of a priority are scanned."""

    priority: Priority
    scanned: float = -inf
    missed: float = inf
    at: float = -inf
    """When there may be more."""
    refillable: dict[Site, None] = Factory(dict)

    @property
    def due(self) -> float:
        """When it is to go on."""
        return -inf if self.missed < inf else self.at


class Backlog:
    log = Logger()

    def __init__(
        self,
        store: QueueStore,
        window: Window,
        sites: Sites,
        clock: IReactorTime,
        take: Callable[[Sequence[Pending]], None],
    ) -> None:
        """`take` is called with the deliveries that have come into the window."""
        self._store = store
        self._window = window
        self._sites = sites
        self._clock = clock
        self._take = take
        self._running = False
        self._reading = False
        self._version = 0
        """Counts the changes by somebody else."""
        self._scans = tuple(_Scan(priority) for priority in Priority)
        self._rescan_at = -inf
        self._rest_until = -inf
        self._timer: IDelayedCall | None = None
        self._patience: IDelayedCall | None = None

    def start(self) -> None:
        self._running = True
        self.wake()

    def stop(self) -> None:
        self._running = False
        self._set_timer(None)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def park(self, site: Site, delivery: Delivery) -> None:
        """Leave a delivery in the store for now."""
        # The scan passes over the destination from now on: what it has not reached counts as left there too.
        scan = self._scans[delivery.priority]
        self._park(scan, site, str(delivery.destination), min(delivery.due, scan.scanned, scan.missed))

    def _park(self, scan: _Scan, site: Site, destination: str, since: float) -> None:
        site.park(scan.priority, destination, since)
        if site.paused is None:
            scan.refillable[site] = None

    def admit(self, delivery: Delivery, message: QueuedMessage | None = None) -> Pending | None:
        """Let a delivery that is due into the window; None when it is there already, or has to wait in the store."""
        if delivery.id in self._window:
            return None
        if self._window.room_for(delivery.priority) > 0:
            return delivery, self._window.enter(delivery, message)
        site = self._sites.known(delivery.destination)
        if site is None:
            scan = self._scans[delivery.priority]
            scan.missed = min(scan.missed, delivery.due)
        else:
            self.park(site, delivery)
        return None

    def paused(self, site: Site) -> None:
        for scan in self._scans:
            scan.refillable.pop(site, None)

    def resumed(self, site: Site) -> None:
        for scan in self._scans:
            if site.lanes[scan.priority].parked:
                scan.refillable[site] = None
        self.wake()

    def expect(self, delivery: Delivery) -> None:
        """A delivery in the store will be due in time."""
        self._expect(self._scans[delivery.priority], delivery.due)

    def _expect(self, scan: _Scan, due: float) -> None:
        if due < scan.at:
            scan.at = due
            if not self._reading:
                self._plan()

    def look_again(self) -> None:
        """Somebody else has changed the store: look for what is due in all of it."""
        self._version += 1
        self._scan_anew()
        if not self._reading:
            self._go_on()

    def _scan_anew(self) -> None:
        for scan in self._scans:
            scan.missed = -inf

    def rest(self) -> None:
        """The store fails: leave it alone for a while."""
        self._rest_until = self._clock.seconds() + _REST
        if not self._reading:
            self._plan()

    def _rests(self, now: float) -> bool:
        # The wall clock may have been set back: no rest is longer than _REST.
        return self._rest_until - _REST <= now < self._rest_until

    def wake(self) -> None:
        """Go on, when there is room and something to bring in."""
        if not self._running or self._reading or self._patient:
            return
        if self._next(self._clock.seconds()) is not None:
            self._reading = True
            Deferred.fromCoroutine(self._fill())

    @property
    def _patient(self) -> bool:
        return self._patience is not None and self._window.room < self._window.size // 4

    def _lose_patience(self) -> None:
        self._patience = None
        self._go_on()

    def _next(self, now: float) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Choose what to read next, or None when there is nothing to read or no room."""
        if self._rests(now):
            return None
        # The wall clock may have been set back.
        if now >= self._rescan_at or any(now < scan.scanned for scan in self._scans):
            self._rescan_at = now + _RESCAN_INTERVAL
            self._scan_anew()
            for scan in self._scans:
                scan.scanned = min(scan.scanned, now)
            self._sites.forget()
        for scan in self._scans:
            room = self._window.room_for(scan.priority)
            if room <= 0:
                continue
            for site in scan.refillable:
                enough = site.lanes[scan.priority].queued > _ROUNDS * site.concurrency
                if not enough and may_grow(site.held(scan.priority), room):
                    return partial(self._refill, scan, site, now)
            if now >= scan.due:
                return partial(self._scan, scan, now)
        return None

    async def _fill(self) -> None:
        try:
            while self._running:
                read = self._next(self._clock.seconds())
                if read is None:
                    break
                await read()
        except TemporaryFailure as error:
            self.rest()
            self.log.warn("the queue cannot be read: {reason}", event="queue_read_failed", reason=error.cause)
        except Exception:
            self.rest()
            self.log.failure("the queue cannot be read", event="queue_read_failed")
        finally:
            self._reading = False
            self._window.unwatch()
            if self._running and self._patience is None:
                self._patience = self._clock.callLater(_PATIENCE, self._lose_patience)
            self._plan()

    async def _scan(self, scan: _Scan, now: float) -> None:
        since = min(scan.scanned, scan.missed)
        scan.missed = inf  # lowered by `admit`, and the next by `expect`, while we wait
        scan.at = inf
        priority = scan.priority
        limit = min(_READ, self._window.room_for(priority))
        left = self._window.watch()
        version = self._version
        try:
            deliveries = await self._store.due(
                now, limit, self._window.ids, since=since, without=self._sites.parked(priority), priority=priority
            )
            if version != self._version:
                return  # it is older than the change: everything is looked at again
            self._bring_in(deliveries, left)
            if len(deliveries) >= limit:
                scan.scanned = deliveries[-1].due
                scan.at = now
                return
            scan.scanned = now
            following = await self._store.next_due(now, priority=priority)
        except BaseException:
            scan.missed = min(scan.missed, since)
            raise
        if following is not None:
            self._expect(scan, following)

    async def _refill(self, scan: _Scan, site: Site, now: float) -> None:
        priority, parked = scan.priority, site.lanes[scan.priority].parked
        destination, since = min(parked.items(), key=lambda item: item[1])
        del parked[destination]  # what is parked while we wait begins anew
        limit = min(_READ, self._window.room_for(priority))
        left = self._window.watch()
        version = self._version
        try:
            deliveries = await self._store.due(
                now, limit, self._window.ids, since=since, destination=destination, priority=priority
            )
        except BaseException:
            self._park(scan, site, destination, since)
            raise
        if version != self._version:
            self._park(scan, site, destination, since)
            return
        self._bring_in(deliveries, left)
        scan.refillable.pop(site, None)
        if len(deliveries) >= limit:  # perhaps its site is another one by now
            current = self._sites.known(Destination.parse(destination)) or site
            self._park(scan, current, destination, deliveries[-1].due)
        if parked and site.paused is None:
            scan.refillable[site] = None  # at the end of the line

    def _bring_in(self, deliveries: Sequence[Delivery], left: Collection[DeliveryId]) -> None:
        admitted = (self.admit(delivery) for delivery in deliveries if delivery.id not in left)
        self._take([pending for pending in admitted if pending is not None])

    def _plan(self) -> None:
        """Set the timer to the next time at which there may be something to do."""
        if not self._running or self._patient:
            return
        now = self._clock.seconds()
        if self._rests(now):
            self._set_timer(self._rest_until - now)
            return
        at = self._rescan_at
        for scan in self._scans:
            # What is due while the window is full waits for `wake`, which is called when it has room again.
            if scan.due > now or self._window.room_for(scan.priority) > 0:
                at = min(at, max(now, scan.due))
        self._set_timer(at - now)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if seconds is None else self._clock.callLater(max(0.0, seconds), self._go_on)

    def _go_on(self) -> None:
        self.wake()
        if not self._reading:
            self._plan()
