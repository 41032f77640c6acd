"""What others report: kept once, added up by source; and reports that arrive by mail."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.message import Message
from mailgw.mail.verdict import Action
from mailgw.operation.threads import ThreadsInline
from mailgw.reports import inbox as report_inbox
from mailgw.reports import received
from mailgw.reports.aggregate import AggregateReport, Published
from mailgw.reports.aggregate_xml import to_xml
from mailgw.reports.arf import read_arf
from mailgw.reports.inbox import ReportInbox
from mailgw.reports.received import Complaints, Source, TlsSummary
from mailgw.reports.tables import DAY
from mailgw.reports.tls_json import to_json
from mailgw.reports.tls_report import TlsPolicy, TlsReport, read_tls_report
from tests.reports.support import RECORD, MemoryDatabase, evaluation, seen, verdict

NOW = 20_000 * DAY + 5.0
REPORT = AggregateReport(
    "A",
    "dmarc@a.example",
    "1",
    19_999 * DAY,
    20_000 * DAY - 1,
    Published("example.org", "reject"),
    (evolve(RECORD, count=7), evolve(RECORD, count=3, dkim="fail", disposition="reject")),
)
ADDRESS = Mailbox("reports", "example.org")


class SumTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.connection = MemoryDatabase().connection

    def store(self, *reports: Any) -> list[bool]:
        return [received.store(self.connection, report, NOW) for report in reports]

    def test_what_several_report_of_a_source(self) -> None:
        self.store(REPORT, evolve(REPORT, org_name="B", records=(evolve(RECORD, count=5, spf="pass"),)))
        (source,) = received.sum_dmarc(self.connection, 0)
        self.assertEqual(source, Source("example.org", "192.0.2.1", 15, 12, 12, 5, 0, 3, ("A", "B")))

    def test_a_report_counts_once(self) -> None:
        self.assertEqual(self.store(REPORT, REPORT, evolve(REPORT, report_id="2")), [True, False, True])
        (source,) = received.sum_dmarc(self.connection, 0)
        self.assertEqual(source.messages, 20)

    def test_domains_and_times(self) -> None:
        other = evolve(REPORT, published=Published("other.example", "none"), end=10)
        self.store(REPORT, other)
        self.assertEqual([s.domain for s in received.sum_dmarc(self.connection, 0)], ["example.org", "other.example"])
        self.assertEqual([s.domain for s in received.sum_dmarc(self.connection, 11)], ["example.org"])
        self.assertEqual([s.domain for s in received.sum_dmarc(self.connection, 0, "other.example")], ["other.example"])

    def test_what_was_read_is_kept_for_a_time_however_old_it_is(self) -> None:
        received.store(self.connection, evolve(REPORT, end=10), NOW - 5)
        received.store(self.connection, evolve(REPORT, report_id="2"), NOW)
        received.forget(self.connection, NOW - 5)
        self.assertEqual(received.number_stored(self.connection, 0), 2)
        received.forget(self.connection, NOW)
        self.assertEqual(received.number_stored(self.connection, 0), 1)
        (rows,) = self.connection.execute("SELECT count(*) FROM received_row").fetchone()
        self.assertEqual(rows, 2)

    def test_tls(self) -> None:
        data = (
            b'{"organization-name": "G", "report-id": "%d", "policies": [{"policy": {"policy-type": "sts",'
            b' "policy-domain": "example.org"}, "summary": {"total-successful-session-count": 9,'
            b' "total-failure-session-count": 2}, "failure-details": [{"result-type": "certificate-expired",'
            b' "failed-session-count": 2}]}]}'
        )
        self.store(read_tls_report(data % 1), read_tls_report(data % 2), read_tls_report(data % 2))
        summary = TlsSummary("example.org", "sts", 18, 4, (("certificate-expired", 4),), ("G",))
        self.assertEqual(received.sum_tls(self.connection, 0), [summary])
        self.assertEqual(received.sum_tls(self.connection, 0, "other.example"), [])

    def test_complaints_without_whom_they_are_about(self) -> None:
        report = read_arf(
            b"Feedback-Type: abuse\nReported-Domain: example.org\nSource-IP: 192.0.2.9\n"
            b"Original-Rcpt-To: <secret@them.example>\n"
        )
        self.store(report, report)
        self.assertEqual(
            received.sum_complaints(self.connection, 0), [Complaints("example.org", "abuse", "192.0.2.9", 1)]
        )
        self.assertNotIn("secret", "\n".join(self.connection.iterdump()))


def tls_report(domain: str, kind: str = "no-policy-found") -> TlsReport:
    return TlsReport("X", "tls@x.example", "1", int(NOW), int(NOW), (TlsPolicy(kind, domain, (), (), 1, 0, ()),))


class InboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.database: Any = MemoryDatabase()
        self.inbox = ReportInbox(
            self.database, ADDRESS, lambda d: d == "example.org", ThreadsInline(), 10.0 * DAY, self.clock
        )
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def take(
        self,
        content: bytes = to_xml(REPORT),
        result: str = "pass",
        action: Action = "inbox",
        to: Mailbox = ADDRESS,
        **found: bool,
    ) -> str:
        """Give the reason why it is not read, if there is one."""
        self.events.clear()
        message = Message.from_bytes(content)
        transaction = seen(evaluation(result, **found), message=message, recipients=(Recipient(to),))
        self.inbox(transaction, verdict(action))
        return "; ".join(event["reason"] for event in self.events if event.get("event") == "report_ignored")

    def number(self) -> int:
        return received.number_stored(self.database.connection, 0)

    def test_a_report(self) -> None:
        self.assertEqual((self.take(), self.number()), ("", 1))
        self.assertEqual((self.take(), self.number()), ("", 1))

    def test_who_does_not_pass_dmarc_is_not_believed(self) -> None:
        self.assertEqual(self.take(result="fail"), "the message does not pass DMARC")
        self.assertEqual(self.number(), 0)

    def test_reports_on_tls_must_be_signed(self) -> None:
        """RFC 8460 3: "Reports lacking such a signature MUST be ignored by the recipient." """
        report = to_json(tls_report("example.org"))
        reason = "a report on TLS must be signed by its domain (RFC 8460 3)"
        self.assertEqual((self.take(report, dkim=False, spf=True), self.number()), (reason, 0))
        self.assertEqual((self.take(report, dkim=True), self.number()), ("", 1))

    def test_reports_on_dane_are_about_hosts(self) -> None:
        """RFC 8460 1.1"""
        for number, (domain, kind, read) in enumerate(
            (
                ("mx.example.org", "tlsa", True),
                ("a.mx.example.org", "tlsa", True),
                ("mx.example.org", "sts", False),
                ("mx.other.example", "tlsa", False),
                ("badexample.org", "tlsa", False),
            )
        ):
            reason = self.take(to_json(evolve(tls_report(domain, kind), report_id=str(number))))
            self.assertEqual(reason, "" if read else "it is about no domain of ours", (domain, kind))

    def test_what_is_none_of_our_business(self) -> None:
        self.take(to=Mailbox("alice", "example.org"))
        self.take(action="reject")
        self.assertEqual(self.number(), 0)
        other = evolve(REPORT, published=Published("other.example", "none"))
        self.assertEqual(self.take(to_xml(other)), "it is about no domain of ours")
        self.assertEqual(self.number(), 0)

    def test_what_cannot_be_read(self) -> None:
        self.assertIn("document type", self.take(b"<!DOCTYPE x []><feedback/>"))
        self.assertEqual(self.take(), "")

    def test_bounds(self) -> None:
        self.patch(report_inbox, "MAX_A_DAY", 1)
        self.take()
        self.assertIn("within a day", self.take(to_xml(evolve(REPORT, report_id="2"))))
        self.patch(report_inbox, "MAX_WAITING", 0)
        self.assertIn("too many wait", self.take())

    def test_old_reports_go(self) -> None:
        self.take(to_xml(evolve(REPORT, report_id="old", end=10)))
        self.assertEqual(self.number(), 1)
        self.clock.advance(11 * DAY)
        self.take()
        self.assertEqual(self.number(), 1)
