"""The certificate, and TLSA records for it (RFC 7672)."""

from __future__ import annotations

import datetime
import hashlib

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailgw.dns.interface import TlsaRecord
from mailgw.doctor import certificate, tlsa
from mailgw.doctor.finding import Finding
from tests.doctor.case import ADDRESS, DOMAIN, HOST, NOW, DoctorCase, chain


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
        self.change(chain=(*chain(), *chain(("CA",))))
        self.resolver.authenticated = True
        own, above = self.site.chain
        self.own = own.public_bytes(Encoding.DER)
        self.key = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.above = above.public_bytes(Encoding.DER)

    def check(self, *records: TlsaRecord) -> list[Finding]:
        self.resolver.set(f"_25._tcp.{HOST}", {"TLSA": records})
        return self.run_check(tlsa.check(self.resolver, self.site))

    def test_good(self) -> None:
        for record in (
            TlsaRecord(3, 1, 1, hashlib.sha256(self.key).digest()),
            TlsaRecord(3, 1, 2, hashlib.sha512(self.key).digest()),
            TlsaRecord(3, 0, 1, hashlib.sha256(self.own).digest()),
            TlsaRecord(3, 1, 0, self.key),
            TlsaRecord(2, 0, 1, hashlib.sha256(self.above).digest()),
        ):
            self.assertAllGood(self.check(record))

    def test_a_key_to_come(self) -> None:
        good = TlsaRecord(3, 1, 1, hashlib.sha256(self.key).digest())
        self.assertFinding(self.check(good, TlsaRecord(3, 1, 1, bytes(32))), "ok", "1 more do not")

    def test_none_matches(self) -> None:
        for record in (
            TlsaRecord(3, 1, 1, bytes(32)),
            TlsaRecord(2, 0, 1, hashlib.sha256(self.own).digest()),
            TlsaRecord(3, 0, 1, hashlib.sha256(self.above).digest()),
            TlsaRecord(3, 9, 9, self.key),
        ):
            finding = self.assertFinding(self.check(record), "error", "no TLSA record matches")
            self.assertEqual(finding.record, f"_25._tcp.{HOST}. IN TLSA 3 1 1 {hashlib.sha256(self.key).hexdigest()}")

    def test_usages_that_mean_nothing(self) -> None:
        findings = self.check(TlsaRecord(1, 1, 1, hashlib.sha256(self.key).digest()))
        self.assertEqual([f.level for f in findings], ["warning"])
        self.assertFinding(findings, "warning", "usages 0 and 1")

    def test_not_signed(self) -> None:
        self.resolver.authenticated = False
        self.assertFinding(self.check(TlsaRecord(3, 1, 0, self.key)), "warning", "nobody uses")

    def test_no_records(self) -> None:
        self.assertIn("TLSA 3 1 1", self.assertFinding(self.check(), "note", "has no TLSA record").record)
        self.resolver.authenticated = False
        self.assertFinding(self.check(), "note", "there is no DANE")

    def test_each_name_that_mail_comes_by(self) -> None:
        self.resolver.set(DOMAIN, {"MX": [(10, HOST), (20, "mx.example.org"), (30, "other.example")]})
        self.resolver.set("mx.example.org", {"A": [ADDRESS]})
        self.resolver.set("other.example", {"A": ["192.0.2.9"]})
        self.resolver.set("_25._tcp.mx.example.org", {"TLSA": [TlsaRecord(3, 1, 1, bytes(32))]})
        findings = self.check(TlsaRecord(3, 1, 0, self.key))
        self.assertEqual([(f.level, f.about) for f in findings], [("ok", HOST), ("error", "mx.example.org")])

    def test_without_a_certificate(self) -> None:
        self.change(chain=())
        self.assertEqual(self.check(), [])
