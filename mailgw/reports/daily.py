"""The daily reports: when a day (UTC) is over, a report on it goes to everyone who is due one, once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from mailgw.mail.reply import TemporaryFailure
from mailgw.reports import issued
from mailgw.reports.outbox import ReportMail
from mailgw.reports.tables import DAY
from mailgw.state.database import Database

# How often it is looked whether something is due: what failed for now is tried again then.
_PERIOD = 300.0
# After the start: everything else comes first.
_FIRST = 10.0
# Reports on a day go out from here to there after its end, so that not everybody's reports arrive at midnight.
_EARLIEST = 600.0
_SPREAD = 7200.0
# Days that are caught up with after a stop. What is older is of no use to anybody.
_DAYS = 3
# Reports that are on their way together: DNS and web servers of others may be slow.
_AT_ONCE = 8
# How long what was done is remembered.
_REMEMBERED = 60


@frozen
class Nobody:
    """There is no report to send, and there will be none; `reason` is for people, empty where nobody asked."""

    reason: str = ""


class ReportSource(Protocol):
    """A kind of report: about whom, and what. All methods raise TemporaryFailure where it may work later."""

    @property
    def name(self) -> str:
        """Tells its reports from those of other sources, for ever."""
        ...

    @property
    def max_reports(self) -> int:
        """So many on a day, and no more."""
        ...

    async def subjects(self, day: int) -> Sequence[str]:
        """Name those for whom there may be a report on a day, in a fixed order."""
        ...

    async def compose(self, day: int, subject: str) -> ReportMail | Nobody:
        """Write the report. The same again gives the same report, with the same identifiers."""
        ...

    async def forget(self, before: int) -> None:
        """Drop what was kept of the days before `before`."""
        ...


class Sender(Protocol):
    """Who takes reports on their way."""

    async def send(self, mail: ReportMail) -> str | Nobody:
        """Send it, and say what went, for people. Raises TemporaryFailure."""
        ...

    def stop(self) -> None:
        """Be done soon."""
        ...


class DailyReports:
    """The service. Several of them, each in its process, may share one database: a report goes out once."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        database: Database,
        sources: Sequence[ReportSource],
        sender: Sender,
        clock: Any,
        entropy: random.Random,
    ) -> None:
        self._database = database
        self._sources = sources
        self._sender = sender
        self._clock = clock
        self._delay = _EARLIEST + entropy.random() * _SPREAD
        self._call: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._composing: set[Deferred[ReportMail | Nobody]] = set()
        self._stopping = False
        self._told: set[tuple[str, int, str]] = set()

    def start(self) -> None:
        self._call = self._clock.callLater(_FIRST, self._tick)

    async def stop(self) -> None:
        """Begin nothing new, give up what is being written, and see to the end what is on its way into the queue."""
        self._stopping = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for composing in tuple(self._composing):
            composing.cancel()
        self._sender.stop()
        if self._running is not None:
            await self._running

    def _tick(self) -> None:
        self._call = None
        running = Deferred.fromCoroutine(self.run())
        self._running = running
        running.addErrback(lambda failure: self.log.failure("the reports failed", failure, event="reports_failed"))
        running.addBoth(self._ended)
        if running.called:
            self._running = None

    def _ended(self, _: object) -> None:
        self._running = None
        if not self._stopping:
            self._call = self._clock.callLater(_PERIOD, self._tick)

    async def run(self) -> None:
        """Send what is due now."""
        now = self._clock.seconds()
        today = int(now) // DAY
        # Of yesterday only when its time has come; of the days before, at once.
        last = today - 1 if now - today * DAY >= self._delay else today - 2
        for source in self._sources:
            try:
                await source.forget(today - _DAYS)
                for day in range(today - _DAYS, last + 1):
                    await self._send(source, day)
            except TemporaryFailure as failure:
                self._tell(source.name, today, "", f"none now: {failure.cause}")
        forget = partial(issued.forget, before=today - _REMEMBERED, silent_before=today - _DAYS)
        await self._database.write(forget)
        self._told = {key for key in self._told if key[1] >= today - _DAYS}

    async def _send(self, source: ReportSource, day: int) -> None:
        subjects = await source.subjects(day)
        find = partial(issued.unsettled, source=source.name, day=day, subjects=subjects, now=self._clock.seconds())
        waiting, sent = await self._database.read(find)
        left = iter(waiting)

        async def send_some() -> None:
            nonlocal sent
            for subject in left:
                if self._stopping:
                    return
                if sent >= source.max_reports:
                    self._tell(source.name, day, "", f"{sent} reports are sent, and no more: max_reports")
                    return
                sent += 1  # it is counted beforehand, for those that run beside it
                sent -= not await self._send_one(source, day, subject)

        sending = [Deferred.fromCoroutine(send_some()) for _ in range(_AT_ONCE)]
        for _, failure in await DeferredList(sending, consumeErrors=True):
            if failure is not None:
                failure.raiseException()

    async def _send_one(self, source: ReportSource, day: int, subject: str) -> bool:
        """Send one report, unless another worker has it. Tell whether it went."""
        key = issued.Key(source.name, day, subject)
        if not await self._database.write(partial(issued.claim, key=key, now=self._clock.seconds())):
            return False
        state: issued.State
        try:
            mail = await self._compose(source, day, subject)
            went = mail if isinstance(mail, Nobody) else await self._sender.send(mail)
            state, detail = ("nobody", went.reason) if isinstance(went, Nobody) else ("sent", went)
        except TemporaryFailure as failure:
            self._tell(source.name, day, subject, f"not now: {failure.cause}")
            await self._database.write(partial(issued.release, key=key))
            return False
        except CancelledError:  # by `stop`
            await self._database.write(partial(issued.release, key=key))
            return False
        except Exception as error:
            self.log.failure("no report on {subject}", event="report_failed", subject=subject, source=source.name)
            state, detail = "failed", repr(error)[:200]
        now = self._clock.seconds()
        await self._database.write(partial(issued.settle, key=key, state=state, now=now, detail=detail))
        return state == "sent"

    async def _compose(self, source: ReportSource, day: int, subject: str) -> ReportMail | Nobody:
        composing = Deferred.fromCoroutine(source.compose(day, subject))
        self._composing.add(composing)
        try:
            return await composing
        finally:
            self._composing.discard(composing)

    def _tell(self, source: str, day: int, subject: str, reason: str) -> None:
        """Log it, once: it is tried again every few minutes."""
        if (source, day, subject) not in self._told:
            self._told.add((source, day, subject))
            self.log.warn(
                "{source} report on {subject}: {reason}",
                event="report_delayed",
                source=source,
                subject=subject,
                reason=reason,
            )
