"""DKIM: whether the keys of files are published."""

from __future__ import annotations

from mailgw.delivery.dkim.keys import read_keys
from mailgw.doctor import dkim
from mailgw.doctor.finding import Finding
from tests.delivery.keys import pem, write_key, write_states
from tests.doctor.case import DOMAIN, DoctorCase
from tests.fakes import FAIL

NAME = f"s1._domainkey.{DOMAIN}"


class DkimTests(DoctorCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.mktemp()
        write_key(self.directory, DOMAIN, "s1", pem("ed25519"))
        self.read()

    def read(self) -> None:
        self.change(keys=read_keys(self.directory))
        self.record = self.site.keys[0].record

    def check(self) -> list[Finding]:
        return self.run_check(dkim.check(self.resolver, self.site, DOMAIN))

    def test_published(self) -> None:
        self.text(NAME, self.record)
        self.assertAllGood(self.check())

    def test_missing(self) -> None:
        finding = self.assertFinding(self.check(), "error", "there is no TXT record")
        self.assertEqual(finding.record, f'{NAME}. IN TXT "{self.record}"')

    def test_other_revoked_invalid_or_a_test(self) -> None:
        write_key(self.directory, DOMAIN, "s2", pem("ed25519", 2))
        other = read_keys(self.directory)[1].record
        for text, level, fact in (
            (other, "error", "another key"),
            ("v=DKIM1; k=ed25519; p=", "error", "revoked"),
            ("hello", "error", "not a list"),
            (f"{self.record}; t=y", "warning", "test"),
        ):
            self.text(NAME, text)
            self.assertFinding(self.check(), level, fact)

    def test_keys_that_may_not_sign_reports_on_tls(self) -> None:
        for reporter in (DOMAIN, f"mail.{DOMAIN}"):
            self.change(tls_reporter=reporter)
            self.text(NAME, f"{self.record}; s=email")
            self.assertFinding(self.check(), "warning", "no reports on TLS")
            for services in ("", "; s=*", "; s=email:tlsrpt"):
                self.text(NAME, f"{self.record}{services}")
                self.assertAllGood(self.check())
        self.text(NAME, f"{self.record}; s=email")
        for reporter in ("", "other.example", f"not{DOMAIN}"):
            self.change(tls_reporter=reporter)
            self.assertAllGood(self.check())

    def test_dns_does_not_answer(self) -> None:
        self.resolver.set(NAME, FAIL)
        self.assertFinding(self.check(), "warning", "DNS does not answer")

    def test_a_key_that_does_not_sign_yet_or_any_more(self) -> None:
        for state in ("pending", "retiring"):
            write_states(self.directory, DOMAIN, f"s1 {state} 2026-11-01T00:00:00Z\n")
            self.read()
            findings = self.check()
            self.assertFinding(findings, "note", state)
            self.assertFinding(findings, "warning", "without a signature")

    def test_no_key(self) -> None:
        self.change(keys=())
        self.assertIn("mailgw dkim new-key", self.assertFinding(self.check(), "warning", "without a signature").advice)

    def test_turned_off(self) -> None:
        self.change(signing=False)
        self.assertFinding(self.check(), "warning", "turned off")
