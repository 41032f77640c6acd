"""TLS reports by a running gateway: TLS with next hops fails, the day turns, who asked gets signed reports."""

from __future__ import annotations

import smtplib
import sqlite3
from pathlib import Path

import dkim
from twisted.internet.ssl import CertificateOptions

from mailgw.mail.message import Message
from mailgw.reports.reading import read_reports
from mailgw.reports.tls_report import TlsPolicy, TlsReport
from tests.delivery.peers import ScriptedPeer
from tests.integration.gateway import PASSWORD
from tests.integration.mailgw_command import run_mailgw
from tests.integration.test_signing import SigningTestCase
from tests.integration.world import in_thread, reactor, unverified

# The sink is the MX of outside.test, which is to have TLS and has none, and of quiet.test, which asks for no reports.
# The MX of broken.test breaks in TLS.
ZONE = {
    "_smtp._tls.outside.test": {"TXT": ["v=TLSRPTv1; rua=mailto:tls@outside.test"]},
    "broken.test": {"MX": ["10 mx.broken.test."]},
    "mx.broken.test": {"A": ["127.0.0.2"]},
    "_smtp._tls.broken.test": {"TXT": ["v=TLSRPTv1; rua=mailto:broken@outside.test"]},
    "quiet.test": {"MX": ["10 mx.quiet.test."]},
    "mx.quiet.test": {"A": ["127.0.0.1"]},
}
SETTINGS = """
[tls_reports]
sender = "tls@example.test"
organisation = "Example"

[tls_policies."outside.test"]
tls = "required"
"""
TEXT = b"From: Alice <alice@example.test>\r\nSubject: hello\r\n\r\nHello.\r\n"


class TlsReportTests(SigningTestCase):
    async def begin(self) -> None:
        await self.make_world(zone=ZONE)
        self.broken = ScriptedPeer({"EHLO": b"250-mx.broken.test\r\n250 STARTTLS\r\n"}, CertificateOptions())
        listening = reactor.listenTCP(self.sink_port, self.broken, interface="127.0.0.2")
        self.addCleanup(listening.stopListening)
        await self.start(more=SETTINGS)
        self.publish()

    def submit_to(self, *recipients: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["submission"], "client.test", timeout=60) as client:
            client.starttls(context=unverified())
            client.login("alice@example.test", PASSWORD)
            for recipient in recipients:
                client.sendmail("alice@example.test", [recipient], TEXT)

    async def turn_the_day(self) -> None:
        """What was seen today was seen the day before yesterday."""
        await self.gateway.stop()
        with sqlite3.connect(self.gateway.state / "reports.db") as connection:
            connection.execute("UPDATE tls_seen SET day = day - 2")
        connection.close()
        await self.gateway.start()

    def reports(self) -> dict[str, tuple[bytes, TlsReport]]:
        found = {}
        for mail in self.sink.received:
            for report in read_reports(mail.content):
                assert isinstance(report, TlsReport)
                domain = Message.from_bytes(mail.content).get_all("TLS-Report-Domain")[0].text
                found[domain] = (mail.content, report)
        return found

    async def test_a_day(self) -> None:
        await self.begin()
        await in_thread(self.submit_to, "zoe@outside.test", "zoe@broken.test", "zoe@quiet.test")
        await self.gateway.wait_for(event="delayed")  # outside.test has no TLS
        await self.until(lambda: len(self.broken.contents) == 1 and len(self.sink.received) == 1)
        pending = await in_thread(run_mailgw, self.gateway, "reports", "pending")
        self.assertIn("0 domains on", pending)  # still in memory
        await self.turn_the_day()
        await self.until(lambda: len(self.reports()) == 2, 30)
        reports = self.reports()
        expected = {
            "outside.test": ("mx.outside.test", "starttls-not-supported", "127.0.0.1"),
            "broken.test": ("mx.broken.test", "validation-failure", "127.0.0.2"),
        }
        self.assertEqual(set(reports), set(expected))
        for domain, (host, failure, address) in expected.items():
            content, report = reports[domain]
            ((seen),) = report.policies
            (detail,) = seen.details
            self.assertIsInstance(seen, TlsPolicy)
            self.assertEqual((seen.type, seen.domain, seen.successes, seen.failures), ("no-policy-found", domain, 0, 1))
            self.assertEqual(
                (detail.receiving_mx_hostname, detail.result_type, detail.receiving_ip), (host, failure, address)
            )
            self.assertTrue(
                dkim.verify(content, dnsfunc=lambda name, timeout=5: self.record(name)), f"{domain} is not signed"
            )
        self.assertRegex(reports["broken.test"][1].policies[0].details[0].reason_code, "^failed in TLS: ")
        await self.check_the_commands(reports)

    def record(self, name: bytes | str) -> bytes | None:
        text = name.decode() if isinstance(name, bytes) else name
        record = self.records.get(text.rstrip("."))
        return record.encode() if record else None

    async def check_the_commands(self, reports: dict[str, tuple[bytes, TlsReport]]) -> None:
        """What was sent, and that we read it as others will."""
        await self.gateway.wait_for(event="report_sent")
        sent = await in_thread(run_mailgw, self.gateway, "reports", "sent", "--json")
        self.assertEqual(sent.count('"sent"'), 2)
        self.assertNotIn("quiet.test", sent)
        path = Path(self.mktemp())
        path.write_bytes(reports["broken.test"][0])
        await in_thread(run_mailgw, self.gateway, "reports", "read", str(path))
        summary = await in_thread(run_mailgw, self.gateway, "reports", "--since", "2020-01-01")
        self.assertIn("broken.test", summary)
        self.assertIn("validation-failure 1", summary)
