"""TLS reports by a running gateway: TLS with next hops fails, the day turns, who asked gets signed reports."""

from __future__ import annotations

import smtplib
import socket
import sqlite3
from pathlib import Path
from typing import Any

import dkim
from attrs import evolve
from twisted.internet.ssl import CertificateOptions
from twisted.trial.unittest import SkipTest
from twisted.web.resource import Resource
from twisted.web.server import Site

from mailgw.mail.message import Message
from mailgw.reports.reading import read_reports
from mailgw.reports.tls_report import TlsPolicy, TlsReport
from tests.authority import Authority
from tests.delivery.peers import ScriptedPeer
from tests.integration.gateway import PASSWORD, Gateway
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
# Each wants TLS in its way, and reports at its own MX host, which is the sink, without TLS.
AUTHORITY = Authority()
WEB = "127.0.89.1"
POLICY = b"version: STSv1\nmode: enforce\nmx: mx.sts.test\nmax_age: 86400\n"
DEMANDING: dict[str, Any] = {
    name: types
    for domain in ("sts.test", "away.test", "dane.test")
    for name, types in {
        domain: {"MX": [f"10 mx.{domain}."]},
        f"mx.{domain}": {"A": ["127.0.0.1"]},
        f"_smtp._tls.{domain}": {"TXT": [f"v=TLSRPTv1; rua=mailto:tls@{domain}"]},
    }.items()
} | {
    "_mta-sts.sts.test": {"TXT": ["v=STSv1; id=1"]},
    "mta-sts.sts.test": {"A": [WEB]},
    "_mta-sts.away.test": {"TXT": ["v=STSv1; id=1"]},
}


def no_port(address: str) -> str:
    """Why no web server can be had at the port that policies are fetched from."""
    try:
        with socket.create_server((address, 443)):
            return ""
    except OSError as error:
        return f"port 443 on {address} cannot be had: {error.strerror}"


TEXT = b"From: Alice <alice@example.test>\r\nSubject: hello\r\n\r\nHello.\r\n"


class Policy(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain")
        return POLICY


class TlsReportTests(SigningTestCase):
    async def begin(self) -> None:
        await self.make_world(zone=ZONE)
        self.broken = ScriptedPeer({"EHLO": b"250-mx.broken.test\r\n250 STARTTLS\r\n"}, CertificateOptions())
        listening = reactor.listenTCP(self.sink_port, self.broken, interface="127.0.0.2")
        self.addCleanup(listening.stopListening)
        await self.start(more=SETTINGS)
        self.publish()

    async def begin_demanding(self) -> None:
        await self.make_world(zone=DEMANDING)
        tlsa = {f"_{self.sink_port}._tcp.mx.dane.test": {"TLSA": [f"3 1 1 {'ab' * 32}"]}}
        self.dns.world = evolve(self.dns.world, zone={**self.dns.world.zone, **tlsa}, authenticated=True)
        site = Site(Policy())
        options = AUTHORITY.issue("mta-sts.sts.test").options()
        self.addCleanup(reactor.listenSSL(443, site, options, interface=WEB).stopListening)
        relay_port = f'{self.sink_port}\nca_file = "ca.pem"'
        await self.start({"ca.pem": AUTHORITY.pem.decode()}, relay_port=relay_port, more=SETTINGS)
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

    async def test_what_reports_are_about_does_not_stop_them(self) -> None:
        """RFC 8460 3, 5.3."""
        if no_port(WEB):
            raise SkipTest(no_port(WEB))
        await self.begin_demanding()
        await in_thread(self.submit_to, "z@sts.test", "z@dane.test", "z@away.test")
        await self.until(lambda: len(self.sink.received) == 1)  # of away.test, whose policy cannot be had
        for domain in ("sts.test", "dane.test"):
            await self.gateway.wait_for(event="delayed", recipient=f"z@{domain}")
        await self.turn_the_day()
        await in_thread(self.submit_to, "z@dane.test")
        await self.gateway.wait_for(event="site_paused")
        await self.until(lambda: len(self.reports()) == 3, 30)
        found = {
            (domain, seen.type, seen.domain, detail.result_type, detail.sessions)
            for domain, (_, report) in self.reports().items()
            for seen in report.policies
            for detail in seen.details
        }
        self.assertEqual(
            found,
            {
                ("sts.test", "sts", "sts.test", "starttls-not-supported", 1),
                ("dane.test", "tlsa", "mx.dane.test", "starttls-not-supported", 1),
                ("away.test", "sts", "away.test", "sts-policy-fetch-error", 1),
                ("away.test", "no-policy-found", "away.test", "starttls-not-supported", 1),
            },
        )
        (sts,) = self.reports()["sts.test"][1].policies
        self.assertEqual((sts.strings, sts.mx_hosts), (tuple(POLICY.decode().splitlines()), ("mx.sts.test",)))
        (tlsa,) = self.reports()["dane.test"][1].policies
        self.assertEqual([text.lower() for text in tlsa.strings], [f"3 1 1 {'ab' * 32}"])

    async def test_workers_count_into_one_file(self) -> None:
        await self.make_world(zone=ZONE)
        self.gateway = Gateway(self.mktemp(), dns=self.dns_port, relay_port=self.sink_port, more=SETTINGS)
        self.gateway.write_configuration()
        configuration = self.gateway.etc / "mailgw.toml"
        configuration.write_text(f"workers = 2\n{configuration.read_text()}")
        self.addCleanup(self.coroutine, self.gateway.kill)
        await self.gateway.start()
        for number in range(1, 101):
            await in_thread(self.submit_to, "zoe@quiet.test")
            await self.until(lambda number=number: len(self.sink.received) == number)  # type: ignore[misc]
            if set(self.openers()) == {0, 1}:
                break
        await self.gateway.stop()
        self.assertEqual(set(self.openers()), {0, 1})
        with sqlite3.connect(self.gateway.state / "reports.db") as connection:
            counted = connection.execute("SELECT domain, sum(count) FROM tls_seen GROUP BY domain").fetchall()
        connection.close()
        self.assertEqual(counted, [("quiet.test", len(self.openers()))])

    def openers(self) -> list[int]:
        """The worker of each session that was opened."""
        return [event["worker"] for event in self.gateway.events if event.get("event") == "relay_session"]

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
