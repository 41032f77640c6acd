"""The daily reports: when they go, that they go once, and what happens when they cannot."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.reply import TemporaryFailure
from mailgw.queue.item import Destination
from mailgw.queue.memory import MemoryStore
from mailgw.queue.store import Entry
from mailgw.reports import issued
from mailgw.reports.daily import DailyReports, Nobody
from mailgw.reports.outbox import Outbox, ReportMail
from mailgw.reports.posting import Dispatch, Poster
from mailgw.reports.tables import DAY, MIGRATIONS
from mailgw.routing.interface import REPORT, Origin, Routed, Target, Unknown
from mailgw.state.database import connect, transact
from tests.reports.support import MemoryDatabase

TODAY = 20_000
SENDER = Mailbox("dmarc", "example.org")


class Source:
    """Has a report for each of `names` on each day of `days`."""

    name = "test"
    max_reports = 100

    def __init__(self, *names: str) -> None:
        self.names = names
        self.days = range(TODAY - 10, TODAY)
        self.composed: list[tuple[int, str]] = []
        self.error: Exception | None = None
        self.nobody: set[str] = set()
        self.slow = False
        self.waiting: list[Deferred[None]] = []
        self.forgotten = 0

    async def subjects(self, day: int) -> Sequence[str]:
        return self.names if day in self.days else ()

    async def compose(self, day: int, subject: str) -> ReportMail | Nobody:
        self.composed.append((day, subject))
        if self.slow:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if self.error is not None:
            raise self.error
        if subject in self.nobody:
            return Nobody("nobody agrees")
        return ReportMail(SENDER, [Mailbox("r", subject)], f"Subject: {day} {subject}\r\n\r\n".encode(), "a report")

    def go_on(self) -> None:
        self.slow = False
        for waiting in self.waiting:
            waiting.callback(None)

    async def forget(self, before: int) -> None:
        self.forgotten = before


class Router:
    def is_ours(self, domain: str) -> bool:
        return domain == "ours.example"

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        if mailbox.domain == "ours.example":
            return Unknown("nobody has that name")
        return Routed((Target(mailbox, Destination("relay", f"mx:{mailbox.domain}")),), ours=False)


def sender(outbox: Outbox, clock: Clock, client: Any = None) -> Dispatch:
    return Dispatch(outbox, Poster(client, clock), clock)


class DailyCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(TODAY * DAY + 12 * 3600.0)
        self.database: Any = MemoryDatabase()
        self.store = MemoryStore()
        self.offered: list[Entry] = []
        self.source = Source("a.example", "b.example")
        self.entropy = random.Random(1)

    def service(self) -> DailyReports:
        outbox = Outbox(self.store.put, self.offered.append, Router(), self.clock, self.entropy, 1000.0)
        return DailyReports(self.database, [self.source], sender(outbox, self.clock), self.clock, self.entropy)

    def start(self) -> DailyReports:
        service = self.service()
        service.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(service.stop()))
        return service

    def sent(self) -> list[str]:
        return [entry.message.message.head.decode().strip().removeprefix("Subject: ") for entry in self.offered]

    def states(self) -> dict[tuple[int, str], str]:
        return {(i.day, i.subject): i.state for i in issued.list_issued(self.database.connection, 0)}


class TimeTests(DailyCase):
    def test_what_was_missed_goes_after_the_start(self) -> None:
        self.start()
        self.clock.advance(10)
        days = (TODAY - 3, TODAY - 2, TODAY - 1)
        self.assertEqual(self.sent(), [f"{day} {name}.example" for day in days for name in "ab"])
        self.assertEqual(self.source.forgotten, TODAY - 3)
        self.assertEqual({entry.message.author_domain for entry in self.offered}, {"example.org"})

    def test_each_goes_once(self) -> None:
        self.start()
        self.clock.pump([300] * 20)
        self.start()
        self.clock.pump([300] * 20)
        self.assertEqual(len(self.sent()), 6)
        self.assertEqual(len(self.source.composed), 6)

    def test_a_day_goes_when_it_is_over_and_not_at_once(self) -> None:
        self.source.days = range(TODAY, TODAY + 1)
        self.start()
        self.clock.pump([300] * (12 * 12 + 1))  # to ten past midnight
        self.assertEqual(self.sent(), [])
        self.clock.pump([300] * 26)  # to twenty past two
        self.assertEqual(self.sent(), [f"{TODAY} a.example", f"{TODAY} b.example"])

    def test_nothing_goes_after_the_stop(self) -> None:
        service = self.start()
        self.successResultOf(Deferred.fromCoroutine(service.stop()))
        self.clock.pump([300] * 20)
        self.assertEqual(self.sent(), [])


class ClaimTests(DailyCase):
    def setUp(self) -> None:
        super().setUp()
        self.source.days = range(TODAY - 1, TODAY)

    def test_two_workers_send_one(self) -> None:
        self.source.slow = True
        self.start()
        self.start()
        self.clock.advance(10)
        self.source.go_on()
        self.assertEqual(sorted(self.sent()), [f"{TODAY - 1} a.example", f"{TODAY - 1} b.example"])

    def test_a_worker_that_died_is_stood_in_for(self) -> None:
        key = issued.Key("test", TODAY - 1, "a.example")
        issued.claim(self.database.connection, key, self.clock.seconds())
        self.start()
        self.clock.pump([300] * 10)
        self.assertEqual(self.sent(), [f"{TODAY - 1} b.example"])
        self.clock.pump([300] * 3)
        self.assertEqual(self.sent(), [f"{TODAY - 1} b.example", f"{TODAY - 1} a.example"])

    def test_a_stop_gives_back_what_was_being_written(self) -> None:
        self.source.slow = True
        service = self.start()
        self.clock.advance(10)
        self.successResultOf(Deferred.fromCoroutine(service.stop()))
        self.assertEqual(self.states(), {})
        self.source.slow = False
        self.start()
        self.clock.advance(10)
        self.assertEqual(len(self.sent()), 2)

    def test_a_stop_waits_for_what_is_on_its_way_into_the_queue(self) -> None:
        written: Deferred[None] = Deferred()
        self.patch(self.store, "put", lambda entry: written)
        service = self.start()
        self.clock.advance(10)
        stopped = Deferred.fromCoroutine(service.stop())
        self.assertNoResult(stopped)
        written.callback(None)
        self.successResultOf(stopped)
        both = {(TODAY - 1, "a.example"): "sent", (TODAY - 1, "b.example"): "sent"}
        self.assertEqual(self.states(), both)

    def test_nothing_new_is_begun_after_a_stop(self) -> None:
        self.source.names = tuple(f"{number}.example" for number in range(100))
        self.source.slow = True
        service = self.start()
        self.clock.advance(10)
        begun = len(self.source.composed)
        self.assertIn(begun, range(2, 20))
        self.successResultOf(Deferred.fromCoroutine(service.stop()))
        self.assertEqual((len(self.source.composed), self.states()), (begun, {}))

    def test_one_that_is_slow_does_not_hold_up_the_others(self) -> None:
        slow: Deferred[None] = Deferred()
        compose = self.source.compose

        async def compose_slowly(day: int, subject: str) -> ReportMail | Nobody:
            if subject == "a.example":
                await slow
            return await compose(day, subject)

        self.patch(self.source, "compose", compose_slowly)
        self.source.names = ("a.example", *(f"{number}.example" for number in range(30)))
        self.start()
        self.clock.advance(10)
        self.assertEqual(len(self.sent()), 30)
        slow.callback(None)
        self.assertEqual(len(self.sent()), 31)


class SharedFileTests(SynchronousTestCase):
    def test_workers_with_connections_of_their_own_to_one_file(self) -> None:
        path = Path(self.mktemp())
        connections = [connect(path, MIGRATIONS) for _ in range(8)]
        for connection in connections:
            self.addCleanup(connection.close)
        key = issued.Key("test", TODAY, "a.example")
        start = threading.Barrier(len(connections))

        def claim(connection: sqlite3.Connection) -> bool:
            start.wait(10)
            (mine,) = transact(connection, [lambda c: issued.claim(c, key, 1000.0)])
            return bool(mine)

        with ThreadPoolExecutor(len(connections)) as threads:
            self.assertEqual(sorted(threads.map(claim, connections)), [False] * 7 + [True])


class TroubleTests(DailyCase):
    def setUp(self) -> None:
        super().setUp()
        self.source.days = range(TODAY - 1, TODAY)
        self.warnings: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: LogEvent) -> None:
        if event.get("event") == "report_delayed":
            self.warnings.append(event["reason"])

    def test_what_cannot_be_done_now_is_done_later_and_told_once(self) -> None:
        self.source.error = TemporaryFailure("DNS does not answer")
        self.start()
        self.clock.pump([300] * 5)
        self.assertEqual((self.sent(), self.states()), ([], {}))
        self.assertEqual(self.warnings, ["not now: DNS does not answer"] * 2)  # one for each report
        self.source.error = None
        self.clock.advance(300)
        self.assertEqual(len(self.sent()), 2)

    def test_an_error_of_ours_stops_no_other_report(self) -> None:
        self.source.error = ZeroDivisionError()
        self.start()
        self.clock.pump([300] * 5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(set(self.states().values()), {"failed"})

    def test_state_that_cannot_be_read(self) -> None:
        self.database.broken = True
        self.start()
        self.clock.pump([300] * 5)
        self.flushLoggedErrors(TemporaryFailure)
        self.database.broken = False
        self.clock.advance(300)
        self.assertEqual(len(self.sent()), 2)

    def test_nobody_agrees(self) -> None:
        self.source.nobody = {"a.example"}
        self.start()
        self.clock.pump([300] * 5)
        states = {(TODAY - 1, "a.example"): "nobody", (TODAY - 1, "b.example"): "sent"}
        self.assertEqual(self.states(), states)
        self.assertEqual(len(self.source.composed), 2)

    def test_a_day_has_so_many_reports(self) -> None:
        self.source.max_reports = 1
        self.start()
        self.clock.pump([300] * 5)
        self.assertEqual(self.sent(), [f"{TODAY - 1} a.example"])
        self.assertEqual(self.warnings, ["1 reports are sent, and no more: max_reports"])


class OutboxTests(DailyCase):
    def test_nobody_is_told_that_a_report_fails(self) -> None:
        self.source.days = range(TODAY - 1, TODAY)
        self.start()
        self.clock.advance(10)
        message, (delivery,) = self.offered[0].message, self.offered[0].deliveries
        self.assertEqual((message.origin, message.envelope.reverse_path), ("report", SENDER))
        self.assertEqual(delivery.recipient.notify, {"NEVER"})
        self.assertEqual(str(delivery.destination), "relay:mx:a.example")
        self.assertEqual(delivery.expires - delivery.due, 1000.0)

    def test_an_address_of_ours_that_does_not_exist(self) -> None:
        self.source.names = ("ours.example",)
        self.source.days = range(TODAY - 1, TODAY)
        self.start()
        self.clock.advance(10)
        self.assertEqual((self.sent(), set(self.states().values())), ([], {"nobody"}))
