"""TLS reports as a source of daily reports, and as mail (RFC 8460 5)."""

from __future__ import annotations

import email
import gzip
import random
import re
from email import policy
from email.message import EmailMessage
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import TlsReports
from mailgw.delivery.tls.requiretls import is_tls_optional
from mailgw.https.endpoints import HttpsError
from mailgw.mail.message import Message
from mailgw.mail.tlsresult import TlsResult
from mailgw.operation.threads import ThreadsInline
from mailgw.queue.memory import MemoryStore
from mailgw.queue.store import Entry
from mailgw.reports import issued
from mailgw.reports.daily import DailyReports
from mailgw.reports.outbox import Outbox
from mailgw.reports.reading import read_reports
from mailgw.reports.tables import DAY
from mailgw.reports.tls_observed import TlsCollector
from mailgw.reports.tls_report import TlsReport, read_tls_report
from mailgw.reports.tls_source import TlsReporter, TlsSource
from tests.fakes import FAIL, FakeResolver
from tests.reports.support import MemoryDatabase
from tests.reports.test_daily import Router, sender
from tests.reports.test_tls_observed import BAD, GOOD

TODAY = 20_000
SETTINGS = TlsReports(sender="tls@example.org", organisation="Example")
DUE = 3 * 3600.0


def asks(*uris: str) -> dict[str, Any]:
    return {"TXT": [f"v=TLSRPTv1; rua={','.join(uris)}"]}


class FakeClient:
    """An HTTPS client whose requests end as `failures` have it, by URL; all others are taken. `waits` are under way."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self.waits: dict[str, Deferred[bytes]] = {}
        self.posted: list[tuple[str, str, bytes]] = []
        self.tried: list[str] = []

    async def request(self, method: str, url: str, refuse: Any, headers: dict[str, str], body: bytes | None) -> bytes:
        self.tried.append(url)
        if url in self.waits:
            try:
                await self.waits[url]
            except CancelledError:
                raise HttpsError("no answer") from None
        if url in self.failures:
            raise HttpsError(self.failures[url])
        self.posted.append((f"{method} {url}", headers["Content-Type"], body or b""))
        return b""


class TlsReportCase(SynchronousTestCase):
    settings = SETTINGS

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(TODAY * DAY + 12 * 3600.0)
        self.database: Any = MemoryDatabase()
        self.resolver = FakeResolver({"_smtp._tls.dest.example": asks("mailto:r@reports.example")})
        self.collect = TlsCollector(self.database, self.clock)
        self.signed = {"example.org"}
        self.skipped_domains: tuple[str, ...] = ()
        self.client = FakeClient()
        self.offered: list[Entry] = []
        self.warnings: list[str] = []
        globalLogPublisher.addObserver(self.watch)
        self.addCleanup(globalLogPublisher.removeObserver, self.watch)

    def watch(self, event: LogEvent) -> None:
        if event.get("event") == "report_delayed":
            self.warnings.append(event["reason"])

    def start(self) -> None:
        """A process: the one before is gone."""
        source = TlsSource(
            self.database,
            TlsReporter.of(self.settings, "mail.example.org"),
            self.resolver,
            ThreadsInline(),
            self.clock,
            self.signed.__contains__,
            100,
            self.skipped_domains,
        )
        entropy = random.Random(1)
        outbox = Outbox(MemoryStore().put, self.offered.append, Router(), self.clock, entropy, 2 * 86400.0)
        service = DailyReports(self.database, [source], sender(outbox, self.clock, self.client), self.clock, entropy)
        service.start()
        self.service = service
        self.addCleanup(lambda: Deferred.fromCoroutine(service.stop()))

    def see(self, *results: TlsResult) -> None:
        for result in results:
            self.collect(result)
        self.collect.write()

    def turn_the_day(self) -> None:
        self.clock.advance(12 * 3600.0)
        self.clock.pump([300.0] * int(DUE / 300))

    def states(self) -> dict[str, tuple[str, str]]:
        return {i.subject: (i.state, i.detail) for i in issued.list_issued(self.database.connection, 0)}


class SourceTests(TlsReportCase):
    def test_a_day(self) -> None:
        self.start()
        self.see(GOOD, GOOD, BAD)
        self.clock.pump([300.0] * 12)
        self.assertEqual(self.offered, [])  # the day is not over
        self.turn_the_day()
        (entry,) = self.offered
        message, (delivery,) = entry.message, entry.deliveries
        self.assertEqual(str(delivery.recipient.forward_path), "r@reports.example")
        self.assertEqual((message.origin, message.author_domain), ("report", "example.org"))
        self.assertEqual(str(message.envelope.reverse_path), "tls@example.org")
        self.assertEqual(delivery.expires - delivery.due, 86400.0)  # 5.5
        (report,) = read_reports(b"".join(message.message.output()))
        assert isinstance(report, TlsReport)
        (seen,) = report.policies
        self.assertEqual((report.org_name, report.contact), ("Example", "tls@example.org"))
        self.assertEqual((report.begin, report.end), (TODAY * DAY, (TODAY + 1) * DAY - 1))
        self.assertEqual(
            (seen.type, seen.domain, seen.successes, seen.failures), ("no-policy-found", "dest.example", 2, 1)
        )
        self.assertEqual(seen.details[0].result_type, "certificate-expired")
        self.assertEqual(
            self.states(), {"dest.example": ("sent", "2 sessions under TLS and 1 failures towards dest.example")}
        )

    def test_once_whatever_restarts(self) -> None:
        self.see(GOOD)
        for _ in range(3):
            self.start()
        self.turn_the_day()
        self.start()
        self.clock.pump([300.0] * 20)
        self.assertEqual(len(self.offered), 1)

    def test_a_day_that_ended_while_we_were_down(self) -> None:
        self.see(GOOD)
        self.clock.advance(2 * DAY)
        self.start()
        self.clock.advance(10)
        self.assertEqual(len(self.offered), 1)

    def test_who_asks_for_none_is_asked_once(self) -> None:
        self.start()
        self.see(evolve(GOOD, domain="silent.example"))
        self.turn_the_day()
        self.clock.pump([300.0] * 20)
        self.assertEqual(self.offered, [])
        self.assertEqual(self.states(), {"silent.example": ("nobody", "")})
        self.assertEqual(self.resolver.asked.count(("_smtp._tls.silent.example", "TXT")), 1)
        self.clock.pump([6 * 3600.0] * 4 * 5)
        self.assertEqual(self.states(), {})  # most domains ask for none: that is not kept for long

    def test_whom_nothing_was_sent_to_is_not_asked(self) -> None:
        self.start()
        self.turn_the_day()
        self.assertEqual(self.resolver.asked, [])

    def test_dns_that_does_not_answer_is_asked_again(self) -> None:
        self.resolver.set("_smtp._tls.dest.example", FAIL)
        self.start()
        self.see(GOOD)
        self.turn_the_day()
        self.assertEqual((self.offered, self.states()), ([], {}))
        self.resolver.set("_smtp._tls.dest.example", asks("mailto:r@reports.example"))
        self.clock.pump([300.0] * 2)
        self.assertEqual(len(self.offered), 1)

    def test_a_record_that_cannot_be_used(self) -> None:
        self.resolver.set("_smtp._tls.dest.example", asks("http://dest.example/"))
        self.start()
        self.see(GOOD)
        self.turn_the_day()
        self.assertEqual(
            self.states()["dest.example"],
            ("nobody", "http://dest.example/: it is neither a mailto: URI with an address nor an https: URI"),
        )

    def test_several_addresses_get_one_message(self) -> None:
        self.resolver.set("_smtp._tls.dest.example", asks("mailto:a@x.example", "mailto:b@y.example"))
        self.start()
        self.see(GOOD)
        self.turn_the_day()
        (entry,) = self.offered
        self.assertEqual(
            [str(delivery.destination) for delivery in entry.deliveries],
            ["relay:mx-any-tls:x.example", "relay:mx-any-tls:y.example"],
        )

    def test_some_are_skipped(self) -> None:
        self.skipped_domains = ("DEST.example",)
        self.start()
        self.see(GOOD)
        self.turn_the_day()
        self.assertEqual((self.offered, self.resolver.asked), ([], []))

    def test_without_a_key_nothing_goes_out_and_nothing_is_lost(self) -> None:
        """3: reports without a signature must be ignored."""
        self.signed.clear()
        self.start()
        self.see(GOOD)
        self.turn_the_day()
        self.assertEqual(self.offered, [])
        ((warning),) = self.warnings
        self.assertIn("mailgw dkim new-key example.org", warning)
        self.signed.add("example.org")
        self.clock.pump([300.0] * 2)
        self.assertEqual(len(self.offered), 1)

    def test_what_is_older_than_any_report_is_forgotten(self) -> None:
        self.signed.clear()
        self.start()
        self.see(GOOD)
        self.clock.pump([6 * 3600.0] * 4 * 6)
        rows = self.database.connection.execute("SELECT count(*) FROM tls_seen").fetchone()
        self.assertEqual(rows, (0,))


URL = "https://reports.example/v1"


class PostingTests(TlsReportCase):
    def ask(self, *uris: str) -> None:
        self.resolver.set("_smtp._tls.dest.example", asks(*uris))
        self.start()
        self.see(GOOD)

    def detail(self) -> str:
        state, detail = self.states()["dest.example"]
        self.assertEqual(state, "sent")
        return detail

    def test_a_report_is_posted(self) -> None:
        """5.4, 5.2"""
        self.ask(URL)
        self.turn_the_day()
        ((request, kind, body),) = self.client.posted
        self.assertEqual((request, kind), (f"POST {URL}", "application/tlsrpt+gzip"))
        report = read_tls_report(gzip.decompress(body))
        self.assertEqual(report.policies[0].successes, 1)
        self.assertEqual(self.offered, [])
        self.assertEqual(self.detail(), "1 sessions under TLS and 0 failures towards dest.example")

    def test_by_mail_and_by_https(self) -> None:
        self.ask("mailto:r@reports.example", URL)
        self.turn_the_day()
        self.assertEqual((len(self.offered), len(self.client.posted)), (1, 1))

    def test_one_way_that_works_is_enough(self) -> None:
        """3: it is delivered once one of the endpoints takes it; nobody gets it twice for another's sake."""
        self.client.failures[URL] = "the answer is 503"
        self.ask("mailto:r@reports.example", URL)
        self.turn_the_day()
        self.clock.pump([300.0] * 100)
        self.assertEqual((len(self.offered), self.client.tried), (1, [URL]))
        self.assertIn(f"(not taken by {URL}: the answer is 503)", self.detail())

    def test_it_is_tried_again_with_longer_and_longer_pauses(self) -> None:
        """5.5"""
        self.client.failures[URL] = "the answer is 503"
        self.ask(URL)
        self.turn_the_day()
        self.clock.pump([300.0] * 12 * 6)
        self.assertIn(len(self.client.tried), range(4, 7))
        self.assertEqual(self.states(), {})
        self.client.failures.clear()
        self.clock.pump([300.0] * 12 * 4)
        self.assertEqual(len(self.client.posted), 1)
        self.detail()

    def test_it_is_given_up_in_the_end(self) -> None:
        self.client.failures[URL] = "the answer is 404"
        self.ask(URL)
        self.turn_the_day()
        self.clock.pump([300.0] * 12 * 40)
        self.assertEqual(self.states(), {"dest.example": ("nobody", f"given up: {URL}: the answer is 404")})
        tried = len(self.client.tried)
        self.clock.pump([300.0] * 12 * 10)
        self.assertEqual(len(self.client.tried), tried)

    def test_the_gateway_stops_while_it_is_posted(self) -> None:
        self.client.waits[URL] = Deferred()
        self.ask(URL)
        self.turn_the_day()
        stopped = Deferred.fromCoroutine(self.service.stop())
        self.successResultOf(stopped)
        self.assertEqual(self.states(), {})
        self.client.waits.clear()
        self.start()
        self.clock.advance(10)
        self.assertEqual(len(self.client.posted), 1)


class LetterTests(TlsReportCase):
    settings = evolve(SETTINGS, contact="postmaster@example.org")

    def mail(self, domain: str = "dest.example") -> EmailMessage:
        self.resolver.set(f"_smtp._tls.{domain}", asks("mailto:r@reports.example"))
        self.start()
        self.see(evolve(GOOD, domain=domain))
        self.turn_the_day()
        self.data = b"".join(self.offered[0].message.message.output())
        message: Any = email.message_from_bytes(self.data, policy=policy.default)
        return message  # type: ignore[no-any-return]

    def test_the_header(self) -> None:
        """5.3: the submitter is the domain of contact-info, everywhere."""
        message = self.mail()
        self.assertEqual(message["TLS-Report-Domain"], "dest.example")
        self.assertEqual(message["TLS-Report-Submitter"], "example.org")
        self.assertEqual(str(message["From"]), "tls@example.org")
        self.assertEqual(message["Auto-Submitted"], "auto-generated")
        self.assertRegex(
            " ".join(str(message["Subject"]).split()),
            r"^Report Domain: dest\.example Submitter: example\.org Report-ID: <[0-9a-f]+@example\.org>$",
        )

    def test_the_parts(self) -> None:
        """5.3, 5.1: text, then the report under its media type and name."""
        message = self.mail()
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message["Content-Type"].params["report-type"], "tlsrpt")
        text, attachment = message.iter_parts()
        self.assertEqual(text.get_content_type(), "text/plain")
        self.assertEqual(attachment.get_content_type(), "application/tlsrpt+gzip")
        begin = TODAY * DAY
        identifier = re.search("<([0-9a-f]+)@", str(message["Subject"]))
        assert identifier is not None
        self.assertEqual(
            attachment.get_filename(), f"example.org!dest.example!{begin}!{begin + DAY - 1}!{identifier[1]}.json.gz"
        )
        json = gzip.decompress(attachment.get_content()).decode()
        self.assertIn(f'"report-id": "{identifier[1]}@example.org"', json)
        self.assertIn('"contact-info": "postmaster@example.org"', json)

    def test_it_goes_whatever_becomes_of_tls(self) -> None:
        """3: "MUST deliver reports despite any TLS-related failures"."""
        self.mail()
        self.assertTrue(is_tls_optional(Message.from_bytes(self.data)))

    def test_long_names_stay_within_lines(self) -> None:
        domain = ".".join(["a" * 60] * 4)
        message = self.mail(domain)
        self.assertEqual(message["TLS-Report-Domain"], domain)
        self.assertLessEqual(max(map(len, self.data.split(b"\r\n"))), 998)
        self.assertTrue(self.data.isascii())

    def test_another_host_of_ours_sends_another_report(self) -> None:
        """A domain ignores what has the identifier of a report that it has."""
        one, two = (TlsReporter.of(SETTINGS, host).report(TODAY, "dest.example", ()) for host in ("a.x", "b.x"))
        self.assertNotEqual(one.report_id, two.report_id)
