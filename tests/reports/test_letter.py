"""The mail that carries a report: RFC 9990 "Email", and RFC 5322 whatever the names."""

from __future__ import annotations

import email
import gzip
import re
from email import policy
from email.message import EmailMessage
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import DmarcReports
from mailgw.mail.address import Mailbox
from mailgw.reports.dmarc_source import Reporter
from mailgw.reports.observed import Observed
from mailgw.reports.tables import DAY
from tests.reports.support import PUBLISHED, RECORD

SETTINGS = DmarcReports(sender="dmarc@example.org", organisation="Example", contact="https://example.org/")
NAME = r"[a-z0-9.-]+"


class LetterTests(SynchronousTestCase):
    def letter(self, domain: str = "sender.example", recipients: int = 1) -> bytes:
        reporter = Reporter.of(SETTINGS, "mail.example.org")
        report = reporter.report(20_000, Observed(evolve(PUBLISHED, domain=domain), (RECORD,)))
        addresses = [Mailbox(f"r{n}", domain) for n in range(recipients)]
        return reporter.letter(report, addresses, 20_001 * DAY + 4000.0).encode()

    def parse(self, data: bytes) -> EmailMessage:
        message: Any = email.message_from_bytes(data, policy=policy.default)
        return message  # type: ignore[no-any-return]

    def test_the_subject(self) -> None:
        subject = str(self.parse(self.letter())["subject"])
        # dmarc-subject
        pattern = r"Report +Domain: +sender\.example +Submitter: +mail\.example\.org +Report-ID: +<([0-9a-f]+)>"
        self.assertRegex(subject, f"^{pattern}$")

    def test_one_identifier_everywhere(self) -> None:
        message = self.parse(self.letter())
        identifier = re.search("<([0-9a-z]+)>", str(message["subject"]))
        assert identifier is not None
        (attachment,) = message.iter_attachments()
        filename = str(attachment.get_filename())
        # filename = receiver "!" policy-domain "!" begin-timestamp "!" end-timestamp "!" unique-id "." extension
        self.assertEqual(filename, f"mail.example.org!sender.example!1728000000!1728086399!{identifier[1]}.xml.gz")
        self.assertEqual(attachment.get_content_type(), "application/gzip")
        xml = gzip.decompress(attachment.get_content()).decode()
        self.assertIn(f"<report_id>{identifier[1]}</report_id>", xml)
        self.assertIn("<begin>1728000000</begin>", xml)
        self.assertIn("<email>dmarc@example.org</email>", xml)
        self.assertIn("<org_name>Example</org_name>", xml)

    def test_a_report_that_is_made_again_is_the_same(self) -> None:
        self.assertEqual(self.letter(), self.letter())
        self.assertNotEqual(self.letter("a.example"), self.letter("b.example"))

    def test_the_header(self) -> None:
        message = self.parse(self.letter(recipients=3))
        self.assertEqual(str(message["from"]), "dmarc@example.org")
        self.assertEqual(message["to"], "r0@sender.example, r1@sender.example, r2@sender.example")
        self.assertEqual(str(message["date"]), "Sat, 05 Oct 2024 01:06:40 +0000")
        self.assertEqual(message["auto-submitted"], "auto-generated")
        self.assertRegex(str(message["message-id"]), r"^<[0-9a-f]+@mail\.example\.org>$")

    def test_long_names_stay_within_lines(self) -> None:
        domain = ".".join(["a" * 60] * 4)
        data = self.letter(domain)
        self.assertLessEqual(max(map(len, data.split(b"\r\n"))), 998)
        self.assertNotIn(b"\n", data.replace(b"\r\n", b""))
        self.assertTrue(data.isascii())
        self.assertIn(f"Domain: {domain} Submitter:", " ".join(str(self.parse(data)["subject"]).split()))

    def test_without_an_address_the_host_reports(self) -> None:
        self.assertEqual(str(Reporter.of(DmarcReports(), "mail.example.org").sender), "postmaster@mail.example.org")
