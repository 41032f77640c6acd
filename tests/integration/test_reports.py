"""DMARC reports by a running gateway: mail of several domains comes in, the day turns, a sink gets the reports."""

from __future__ import annotations

import contextlib
import email.message
import smtplib
import sqlite3

from attrs import evolve
from click.testing import CliRunner

from mailgw.commands.main import main
from mailgw.reports.aggregate import AggregateReport
from mailgw.reports.aggregate_xml import to_xml
from mailgw.reports.letter import packed
from mailgw.reports.reading import read_reports
from tests.integration.world import GatewayTestCase, in_thread, send
from tests.reports.test_aggregate_xml import REPORT

# Reports go to outside.test, whose MX is the sink. It agrees for two of the domains.
ZONE = {
    "sender.test": {"TXT": ["v=spf1 ip4:127.0.0.1 ip4:192.0.2.0/24 -all"]},
    "_dmarc.sender.test": {"TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@outside.test"]},
    "_dmarc.protected.test": {"TXT": ["v=DMARC1; p=quarantine; sp=none; rua=mailto:protected@outside.test"]},
    "_dmarc.flooder.test": {"TXT": ["v=DMARC1; p=none; rua=mailto:victim@outside.test"]},
    "sender.test._report._dmarc.outside.test": {"TXT": ["v=DMARC1;"]},
    "protected.test._report._dmarc.outside.test": {"TXT": ["v=DMARC1;"]},
}
SETTINGS = '[dmarc_reports]\nsender = "dmarc@example.test"\ninbox = "alice@example.test"\n'
RULES = '[rules]\nDMARC_FAIL_REJECT = "reject"\nDMARC_FAIL_QUARANTINE = "spam"\n'
# Loopback is our own network, whose mail does not count: the client says that it is another.
PROXY = 'xclient_networks = ["127.0.0.0/8"]'


def text(author: str) -> str:
    return f"From: {author}\nTo: bob@example.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nHello.\n"


def send_as(address: str, port: int, message: bytes) -> None:
    """Send a message as the host of that address would."""
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=60) as client:
        client.ehlo()
        client.docmd(f"XCLIENT ADDR={address}")
        client.ehlo()
        with contextlib.suppress(smtplib.SMTPDataError):  # refused messages count too
            client.sendmail("carol@sender.test", ["bob@example.test"], message)


class ReportTests(GatewayTestCase):
    async def begin(self) -> None:
        await self.make_world(zone=ZONE)
        await self.start_gateway({"filters.toml": RULES}, more=SETTINGS, mx_more=PROXY)

    def command(self, *arguments: str) -> str:
        result = CliRunner().invoke(
            main, ["reports", *arguments], env={"MAILGW_CONFIG": str(self.gateway.etc / "mailgw.toml")}
        )
        self.assertEqual(result.exit_code, 0, result.output)
        return result.output

    async def turn_the_day(self) -> None:
        """What was seen today was seen the day before yesterday."""
        await self.gateway.stop()
        with sqlite3.connect(self.gateway.state / "reports.db") as connection:
            connection.execute("UPDATE observed SET day = day - 2")
            connection.execute("UPDATE observed_policy SET day = day - 2")
        connection.close()
        await self.gateway.start()

    async def test_a_day(self) -> None:
        await self.begin()
        port = self.gateway.ports["mx"]
        for address, author, signed, count in (
            ("192.0.2.1", "carol@sender.test", True, 2),
            ("198.51.100.7", "carol@sender.test", False, 1),
            ("192.0.2.1", "ceo@protected.test", False, 1),
            ("192.0.2.2", "ceo@news.protected.test", False, 1),
            ("192.0.2.1", "a@flooder.test", False, 1),
            ("127.0.0.1", "carol@sender.test", True, 1),
        ):
            message = self.signed(text(author)) if signed else text(author).replace("\n", "\r\n").encode()
            for _ in range(count):
                await in_thread(send_as, address, port, message)
        await self.turn_the_day()
        await self.until(lambda: len(self.sink.received) >= 2, 30)
        await self.gateway.wait_for(event="delivered")
        got: dict[str, AggregateReport] = {}
        for mail in self.sink.received:
            (report,) = read_reports(mail.content)
            assert isinstance(report, AggregateReport)
            got[report.published.domain] = report
            self.assertIn(f"Report Domain: {report.published.domain}", mail.content.decode())
        self.assertEqual(set(got), {"sender.test", "protected.test"})
        rows = {
            name: {(r.source_ip, r.header_from, r.count, r.disposition, r.dkim, r.spf) for r in report.records}
            for name, report in got.items()
        }
        self.assertEqual(
            rows["sender.test"],
            {
                ("192.0.2.1", "sender.test", 2, "pass", "pass", "pass"),
                ("198.51.100.7", "sender.test", 1, "reject", "fail", "fail"),
            },
        )
        self.assertEqual(
            rows["protected.test"],
            {
                ("192.0.2.1", "protected.test", 1, "quarantine", "fail", "fail"),
                ("192.0.2.2", "news.protected.test", 1, "none", "fail", "fail"),
            },
        )
        # flooder.test wanted them to go to somebody who never agreed.
        sent = self.command("sent", "--json")
        self.assertIn("outside.test does not agree", sent)
        self.assertEqual(sent.count('"sent"'), 2)

    async def test_reports_of_others_are_read_as_they_arrive(self) -> None:
        await self.begin()
        ours = evolve(REPORT, published=evolve(REPORT.published, domain="example.test"))
        for report, author in (
            (ours, "carol@sender.test"),
            (ours, "ceo@protected.test"),
            (REPORT, "carol@sender.test"),
        ):
            message = email.message.EmailMessage()
            message["From"] = author
            message["Subject"] = "Report Domain: example.test"
            message.set_content("a report\n")
            message.add_attachment(packed(to_xml(report)), "application", "gzip", filename="r.xml.gz")
            data = self.signed(message.as_string())
            await in_thread(send, self.gateway.ports["mx"], "carol@sender.test", ["alice@example.test"], data)
        read = await self.gateway.wait_for(event="report_read")
        self.assertEqual((read["domains"], read["outcome"]), (["example.test"], "read"))
        await self.gateway.wait_for(event="report_ignored", reason="the message does not pass DMARC")
        await self.gateway.wait_for(event="report_ignored", reason="it is about no domain of ours")
        await self.until(lambda: len(self.gateway.folder("alice") + self.gateway.folder("alice", ".Spam")) == 3)
        table = self.command("--since", "2025-01-01")
        self.assertIn("2 messages in the name of example.test, 100 % pass DMARC", table)
        self.assertIn("Example Organisation", table)
