"""MX: whether mail for a domain comes to us."""

from __future__ import annotations

from mailgw.doctor import mx
from mailgw.doctor.finding import Finding
from tests.doctor.case import ADDRESS, DOMAIN, HOST, DoctorCase


class MxTests(DoctorCase):
    def check(self, *exchanges: tuple[int, str], **others: list[str]) -> list[Finding]:
        self.resolver.set(DOMAIN, {"MX": exchanges, **others})
        return self.run_check(mx.check(self.resolver, self.site, DOMAIN))

    def test_ours(self) -> None:
        self.assertAllGood(self.check((10, HOST)))

    def test_ours_by_another_name(self) -> None:
        self.resolver.set("mx.example.org", {"A": [ADDRESS]})
        self.assertAllGood(self.check((10, "mx.example.org")))

    def test_others_beside_us(self) -> None:
        self.resolver.set("backup.example", {"A": ["192.0.2.9"]})
        finding = self.assertFinding(self.check((10, HOST), (20, "backup.example")), "ok", HOST)
        self.assertIn("also backup.example", finding.fact)

    def test_others_before_us(self) -> None:
        self.resolver.set("filter.example", {"A": ["192.0.2.9"]})
        self.assertFinding(self.check((10, "filter.example"), (20, HOST)), "note", "filter.example first")

    def test_somebody_else(self) -> None:
        self.resolver.set("other.example", {"A": ["192.0.2.9"]})
        finding = self.assertFinding(self.check((10, "other.example")), "error", "none of its exchanges")
        self.assertEqual(finding.record, f"{DOMAIN}. IN MX 10 {HOST}.")

    def test_none(self) -> None:
        self.assertFinding(self.check(), "error", "there is no MX record")
        self.assertFinding(self.check(A=[ADDRESS]), "warning", "which is ours")

    def test_no_domain(self) -> None:
        findings = self.run_check(mx.check(self.resolver, self.site, "gone.example"))
        self.assertFinding(findings, "error", "does not exist")

    def test_null_mx(self) -> None:
        self.assertFinding(self.check((0, "")), "error", "RFC 7505")

    def test_exchanges_that_cannot_be(self) -> None:
        self.resolver.set("alias.example", {"CNAME": [HOST]})
        findings = self.check((10, HOST), (20, "alias.example"), (30, "gone.example"), (40, "192.0.2.1"))
        self.assertFinding(findings, "ok", HOST)
        self.assertFinding(findings, "warning", "alias.example is a CNAME")
        self.assertFinding(findings, "error", "gone.example has no address")
        self.assertFinding(findings, "error", "192.0.2.1 is an IP address")
