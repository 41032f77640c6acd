"""The scheduler: takes due deliveries to the agents, a bounded number at a time, and settles what they make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.config.schema import Queue, SiteRule
from mailgw.mail.reply import TemporaryFailure
from mailgw.queue.agent import DeliveryAgent, FateObserver, Reporter
from mailgw.queue.attempt import Attempted, Attempts
from mailgw.queue.backlog import Backlog
from mailgw.queue.item import Delayed, Delivery, DeliveryId, Failed, QueuedMessage
from mailgw.queue.pace import Pace
from mailgw.queue.retry import RetryPolicy
from mailgw.queue.site import Job, Site
from mailgw.queue.siterules import SiteRules
from mailgw.queue.sites import Pending, Sites
from mailgw.queue.store import Entry, QueueStore, Settlement
from mailgw.queue.turns import Turns
from mailgw.queue.window import Window, may_grow

# A settlement that the store refused (disk full) is written again after this, then twice it, and so on.
_SETTLE_PAUSE = 1.0
_LONGEST_SETTLE_PAUSE = 60.0


class Scheduler:
    """Holds a bounded window of due deliveries; each is attempted once at a time.

    Sites take turns, each with at most `site_concurrency` attempts. A site in trouble is left alone for a while, and
    its mail waits in the store. A report about failures is put together with their settlement, all or nothing.
    """

    log = Logger()

    def __init__(
        self,
        store: QueueStore,
        agents: Mapping[str, DeliveryAgent],
        reporter: Reporter,
        clock: IReactorTime,
        random: Random,
        settings: Queue,
        delay_reports: Sequence[float] = (),
        observer: FateObserver | None = None,
        rules: Mapping[str, SiteRule] = {},
    ) -> None:
        """`agents` are keyed by `Destination.agent`; `rules` are [sites]. The store is to be open before `start`."""
        self._store = store
        self._agents = agents
        self._clock: Any = clock
        self._turns = Turns(settings.concurrency, self._begin, self._dispatch, clock)
        self._retry = RetryPolicy(settings, random, delay_reports)
        self._settings = settings
        self._rules = SiteRules(rules)
        self._attempts = Attempts(agents, reporter, clock, observer)
        self._window = Window(settings.window)
        self._sites = Sites(agents, self._make_site, self._found)
        self._backlog = Backlog(store, self._window, self._sites, clock, self._take)
        self._running = False
        self._tasks: set[Deferred[None]] = set()
        self._overtaken: set[Deferred[None]] = set()
        """Attempts under way when a person changed the queue."""
        self._drained: Deferred[None] | None = None
        self._latest = 0.0

    def start(self) -> None:
        """Begin with what is due in the store."""
        self._running = True
        self._backlog.start()

    def offer(self, entry: Entry) -> None:
        """Take what was just put straight from memory. Whatever finds no room is taken from the store in its turn."""
        if not self._running:
            return
        now = self._now()
        fresh: list[Pending] = []
        for delivery in entry.deliveries:
            if delivery.due > now:
                self._backlog.expect(delivery)
            elif (pending := self._backlog.admit(delivery, entry.message)) is not None:
                fresh.append(pending)
        self._take(fresh)

    def look_again(self) -> None:
        """The store was changed by somebody else (a command): read again what waits, and look for what is due now.

        Attempts that are under way go on; what they were about is looked for again when they end. Sites that are left
        alone are tried at once: so the person wants it.
        """
        self._overtaken = set(self._tasks)
        for delivery in self._sites.take_pending():
            self._window.leave(delivery.id)
        for site in self._sites.all():
            for delivery in site.clear():
                self._backlog.park(site, delivery)
                self._window.leave(delivery.id)
        self._turns.clear()
        for site in self._sites.paused():
            self._resume(site)
        self._backlog.look_again()

    async def stop(self, grace: float) -> None:
        """Begin nothing new; wait up to `grace` seconds for what is under way, then cancel it.

        What is not settled stays in the store. The agents are left open: whoever made them closes them.
        """
        self._running = False
        self._backlog.stop()
        self._turns.clear()
        if self._tasks:
            self._drained = Deferred()
            timer = self._clock.callLater(grace, self._drained.callback, None)
            await self._drained
            self._drained = None
            if timer.active():
                timer.cancel()
        self._sites.stop()
        for task in list(self._tasks):
            task.cancel()

    # Into a site.

    def _make_site(self, name: str) -> Site:
        rule = self._rules.of(name)
        concurrency = rule.concurrency or self._settings.site_concurrency
        # What is ours, folders and routes, can bear all from the first.
        start = self._settings.site_start if name.startswith("mx:") else concurrency
        pace = Pace(rule.messages, rule.period) if rule.messages else None
        return Site(name, concurrency, start, self._retry.towards(rule), pace)

    def _take(self, fresh: Sequence[Pending]) -> None:
        """Bring deliveries that came into the window to their sites, all of them before one is begun: they may go
        together."""
        if not self._running:
            return
        with self._turns.held():
            for delivery, message in fresh:
                site = self._sites.known(delivery.destination)
                if site is None:
                    self._sites.look_up(delivery, message)
                else:
                    self._place(site, delivery, message)
        self._dispatch()

    def _found(self, site: Site, pending: Sequence[Pending]) -> None:
        if self._running:
            for delivery, message in pending:
                self._place(site, delivery, message)
            self._dispatch()

    def _place(self, site: Site, delivery: Delivery, message: QueuedMessage | None) -> None:
        """Let it wait at its site, or leave it in the store while the site is in trouble or over its share."""
        # It is in the window itself already: without it one more is free.
        room = self._window.room_for(delivery.priority) + 1
        if site.paused is not None or not may_grow(site.held(delivery.priority), room):
            self._backlog.park(site, delivery)
            self._window.leave(delivery.id)
            self._backlog.wake()
            return
        agent = self._agents.get(delivery.destination.agent)
        site.add(delivery, message, 1 if agent is None else agent.max_recipients)
        self._turns.ready(site)

    # Out of it.

    def _dispatch(self) -> None:
        """Start what may start."""
        if not self._running or self._turns.are_held or not self._turns.waiting:
            return
        if self._store.changed():
            with self._turns.held():
                self.look_again()  # what waits here may be gone
        self._turns.go()

    def _begin(self, site: Site, job: Job) -> None:
        task = Deferred.fromCoroutine(self._run(site, job))
        if not task.called:
            self._tasks.add(task)
        task.addBoth(self._ended, task)

    def _ended(self, result: Failure | None, task: Deferred[None]) -> None:
        self._tasks.discard(task)
        if task in self._overtaken:
            self._overtaken.discard(task)
            if self._running:
                self._backlog.look_again()
        if isinstance(result, Failure) and (self._running or not isinstance(result.value, CancelledError)):
            # Its deliveries stay in the window: whether they were delivered is not known, so no second attempt.
            self.log.failure("the scheduler failed inside", result, event="scheduler_failed")
        if self._drained is not None and not self._tasks and not self._drained.called:
            self._drained.callback(None)

    async def _run(self, site: Site, job: Job) -> None:
        started = self._clock.seconds()
        attempted: Attempted | None = None
        message = job.message
        try:
            if message is None:
                message = await self._read(site, job)
            if message is not None:
                attempted = await self._attempts.make(site, job, message, lambda: not self._running)
                attempted = await self._heed(message, attempted)
        except TemporaryFailure as error:
            self.log.warn(
                "{transaction} cannot be read from the queue: {reason}",
                event="queue_read_failed",
                transaction=job.message_id,
                reason=error.cause,
            )
            for delivery in job.deliveries:
                self._backlog.park(site, delivery)
            self._backlog.rest()
        finally:
            self._turns.ended(site, job)
        if attempted is None or message is None:  # it could not be read, or somebody removed it
            self._release(site, job)
            return
        self._learn(site, attempted, started)
        self._dispatch()  # the next attempt need not wait for this one's settlement
        settlements, reports = self._attempts.conclude(site, message, attempted)
        await self._settle(message.id, settlements, reports)
        now = self._now()
        for settlement in settlements:
            if settlement.retry is None:
                continue
            if settlement.retry.due > now:
                self._backlog.expect(settlement.retry)
            else:  # the store took its time: the scan is past it
                self._backlog.park(site, settlement.retry)
        self._release(site, job)
        for report in reports:
            self.offer(report)

    async def _read(self, site: Site, job: Job) -> QueuedMessage | None:
        """Read its message, and leave out of the job what somebody has removed or sent elsewhere since it was read."""
        entry = await self._store.standing(job.deliveries)
        if entry is None:
            return None
        self._leave(site, [delivery for delivery in job.deliveries if delivery not in entry.deliveries])
        job.deliveries = list(entry.deliveries)
        return entry.message

    async def _heed(self, message: QueuedMessage, attempted: Attempted) -> Attempted:
        """Leave out what failed for good, but was held, removed or sent elsewhere during the attempt: that stands, and
        the sender hears of no failure."""
        failed = [delivery for delivery, outcome in attempted.results if isinstance(outcome, Failed)]
        if not failed:
            return attempted
        try:
            entry = await self._store.standing(failed)
        except (TemporaryFailure, CancelledError):
            return attempted  # what was delivered is to be written
        still = {delivery.id for delivery in entry.deliveries} if entry is not None else frozenset[DeliveryId]()
        overtaken = {delivery.id for delivery in failed} - still
        if overtaken:
            self.log.info(
                "{transaction} failed for {count} recipients that were changed meanwhile: the change stands",
                event="overtaken",
                transaction=message.id,
                session=message.session_id,
                count=len(overtaken),
            )
        return evolve(attempted, results=tuple(r for r in attempted.results if r[0].id not in overtaken))

    def _leave(self, site: Site, deliveries: Sequence[Delivery]) -> None:
        site.release(deliveries)
        for delivery in deliveries:
            self._window.leave(delivery.id)

    def _release(self, site: Site, job: Job) -> None:
        self._leave(site, job.deliveries)
        self._dispatch()
        self._backlog.wake()

    async def _settle(self, message_id: str, settlements: Sequence[Settlement], reports: Sequence[Entry]) -> None:
        """Write it, however long that takes: until then the deliveries stay in the window, out of reach."""
        pause = _SETTLE_PAUSE
        while True:
            try:
                await self._store.settle(settlements, reports)
                return
            except TemporaryFailure as error:
                self.log.warn(
                    "the outcome for {transaction} cannot be written, next try in {pause:.0f} s: {reason}",
                    event="settle_failed",
                    transaction=message_id,
                    pause=pause,
                    reason=error.cause,
                )
            except CancelledError:
                raise
            except Exception:
                self.log.failure(
                    "the outcome for {transaction} cannot be written",
                    event="settle_failed",
                    transaction=message_id,
                )
            await deferLater(self._clock, pause)
            pause = min(pause * 2, _LONGEST_SETTLE_PAUSE)

    # Sites in trouble.

    def _learn(self, site: Site, attempted: Attempted, started: float) -> None:
        outcome = attempted.site
        if outcome is None:
            return
        if not isinstance(outcome, Delayed) or not outcome.site_wide:
            site.succeeded()
            if site.paused is not None:
                self._resume(site)
            return
        if not site.failed(started, self._clock.seconds(), outcome):
            return
        pause = site.retry.site_pause(site.failures)
        site.paused = self._clock.callLater(pause, self._resume, site)
        self._backlog.paused(site)
        for delivery in site.clear():
            self._backlog.park(site, delivery)
            self._window.leave(delivery.id)
        self.log.warn(
            "{site} is left alone for {pause:.0f} s: {reason}",
            event="site_paused",
            site=site.name,
            pause=pause,
            reason=outcome.reason,
        )

    def _resume(self, site: Site) -> None:
        if site.paused is not None and site.paused.active():
            site.paused.cancel()
        site.paused = None
        self._backlog.resumed(site)

    def _now(self) -> float:
        """Give the time. When it was set back, pauses end: the timers of the reactor would come that much later."""
        now: float = self._clock.seconds()
        set_back, self._latest = now < self._latest, now
        if set_back and self._running:
            for site in self._sites.paused():
                self._resume(site)
        return now
