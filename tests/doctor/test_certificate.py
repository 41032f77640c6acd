"""The certificate, and TLSA records for it (RFC 7672)."""

from __future__ import annotations

import datetime

from mailgw.delivery.tls.tlsa import presented
from mailgw.dns.interface import TlsaRecord
from mailgw.doctor import certificate, tlsa
from mailgw.doctor.finding import Finding
from tests.certificates import PAST, Identity, issue
from tests.delivery.tls.test_dane import record
from tests.doctor.case import ADDRESS, DOMAIN, HOST, NOW, DoctorCase, chain

NOBODY = TlsaRecord(3, 1, 1, bytes(32))


def days(number: float) -> datetime.timedelta:
    return datetime.timedelta(days=number)


class CertificateTests(DoctorCase):
    def check(self, names: tuple[str, ...] = (HOST,), now: datetime.datetime = NOW) -> list[Finding]:
        self.change(chain=chain(names))
        return certificate.check(self.site, now)

    def test_names(self) -> None:
        self.assertFinding(self.check(), "ok", f"it names {HOST}")
        self.assertFinding(self.check(("*.example.org",)), "ok", "it names *.example.org")
        for names in (("example.org",), ("*.mail.example.org",), ("*.org",), ("192.0.2.1",)):
            self.assertFinding(self.check(names), "error", f"it does not name {HOST}")

    def test_dates(self) -> None:
        """It is valid for 397 days from the day before NOW."""
        self.assertFinding(self.check(), "ok", "it is valid until")
        self.assertFinding(self.check(now=NOW - days(2)), "error", "valid only from")
        self.assertFinding(self.check(now=NOW + days(382)), "ok", "it is valid until")
        self.assertFinding(self.check(now=NOW + days(384)), "warning", "it expires in 13 days")
        self.assertFinding(self.check(now=NOW + days(398)), "error", "it expired at")

    def test_signed_by_ourselves(self) -> None:
        self.assertFinding(self.check(), "warning", "we have signed it ourselves")

    def test_none(self) -> None:
        self.assertFinding(certificate.check(self.site, NOW), "warning", "no TLS")


class TlsaTests(DoctorCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = issue(common_name="Root", authority=True)
        self.resolver.authenticated = True
        self.have(issue([HOST], self.root))

    def have(self, identity: Identity) -> None:
        self.ours = identity
        self.change(chain=identity.chain)

    def check(self, *records: TlsaRecord) -> list[Finding]:
        self.resolver.set(f"_25._tcp.{HOST}", {"TLSA": records})
        return self.run_check(tlsa.check(self.resolver, self.site))

    def test_good(self) -> None:
        for of, usage, selector, matching in (
            (self.ours, 3, 1, 1),
            (self.ours, 3, 1, 2),
            (self.ours, 3, 0, 1),
            (self.ours, 3, 1, 0),
            (self.root, 2, 0, 1),
        ):
            findings = self.check(record(of, usage, selector, matching))
            self.assertAllGood(findings)
            self.assertFinding(findings, "ok", f"({usage} {selector} {matching}) proves our certificate")

    def test_a_key_to_come(self) -> None:
        self.assertFinding(self.check(record(self.ours, 3, 1, 1), NOBODY), "ok", "1 more do not")

    def test_none_matches(self) -> None:
        for wrong in (NOBODY, record(self.ours, 2, 0, 1), record(self.root, 3, 0, 1)):
            finding = self.assertFinding(self.check(wrong), "error", "our certificate fits no TLSA record")
            self.assertEqual(finding.record, f"_25._tcp.{HOST}. IN TLSA {presented(record(self.ours, 3, 1, 1))}")

    def test_a_stronger_digest_that_is_wrong(self) -> None:
        """RFC 7671 9: senders look at it alone."""
        wrong = TlsaRecord(3, 1, 2, bytes(64))
        self.assertFinding(self.check(record(self.ours, 3, 1, 1), wrong), "error", "fits no TLSA record")

    def test_below_a_trust_anchor_names_and_dates_count(self) -> None:
        anchor = record(self.root, 2, 0, 1)
        self.have(issue(["old.example.org"], self.root))
        self.assertFinding(self.check(anchor), "error", f"our certificate is for another name than {HOST}")
        self.have(issue([HOST], self.root, valid=PAST))
        self.assertFinding(self.check(anchor), "error", "our certificate has expired")

    def test_usages_that_mean_nothing(self) -> None:
        findings = self.check(record(self.ours, 1, 1, 1))
        self.assertEqual([f.level for f in findings], ["warning"])
        self.assertFinding(findings, "warning", "usages 0 and 1")

    def test_records_that_nobody_can_use(self) -> None:
        for broken in (TlsaRecord(3, 1, 1, bytes(20)), TlsaRecord(3, 9, 9, b"x"), TlsaRecord(2, 0, 0, b"x")):
            findings = self.check(broken, record(self.ours, 3, 1, 1))
            self.assertEqual([f.level for f in findings], ["warning", "ok"])
            self.assertIn(presented(broken)[:20], findings[0].fact)

    def test_not_signed(self) -> None:
        self.resolver.authenticated = False
        self.assertFinding(self.check(record(self.ours, 3, 1, 0)), "warning", "nobody uses")

    def test_no_records(self) -> None:
        self.assertIn("TLSA 3 1 1", self.assertFinding(self.check(), "note", "has no TLSA record").record)
        self.resolver.authenticated = False
        self.assertFinding(self.check(), "note", "there is no DANE")

    def test_each_name_that_mail_comes_by(self) -> None:
        self.resolver.set(DOMAIN, {"MX": [(10, HOST), (20, "mx.example.org"), (30, "other.example")]})
        self.resolver.set("mx.example.org", {"A": [ADDRESS]})
        self.resolver.set("other.example", {"A": ["192.0.2.9"]})
        self.resolver.set("_25._tcp.mx.example.org", {"TLSA": [NOBODY]})
        findings = self.check(record(self.ours, 3, 1, 0))
        self.assertEqual([(f.level, f.about) for f in findings], [("ok", HOST), ("error", "mx.example.org")])

    def test_without_a_certificate(self) -> None:
        self.change(chain=())
        self.assertEqual(self.check(), [])
