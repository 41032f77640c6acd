"""DMARC: the record, its policy, and whether its reports arrive."""

from __future__ import annotations

from mailgw.doctor import dmarc
from mailgw.doctor.finding import Finding
from tests.doctor.case import DOMAIN, HOST, DoctorCase
from tests.fakes import FAIL

GOOD = f"v=DMARC1; p=reject; rua=mailto:r@{DOMAIN}"


class DmarcTests(DoctorCase):
    def setUp(self) -> None:
        super().setUp()
        self.resolver.set(DOMAIN, {"MX": [(10, HOST)]})

    def check(self, *texts: str, domain: str = DOMAIN) -> list[Finding]:
        self.text(f"_dmarc.{DOMAIN}", *texts)
        return self.run_check(dmarc.check(self.resolver, self.site, domain))

    def test_good(self) -> None:
        self.assertAllGood(self.check(GOOD))

    def test_none(self) -> None:
        finding = self.assertFinding(self.check("hello"), "warning", "no DMARC record")
        self.assertEqual(finding.record, f'_dmarc.{DOMAIN}. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@{DOMAIN}"')

    def test_several(self) -> None:
        self.assertFinding(self.check(GOOD, GOOD), "error", "2 records")

    def test_of_the_organisation(self) -> None:
        self.assertFinding(self.check(GOOD, domain=f"a.{DOMAIN}"), "ok", f"p=reject (from {DOMAIN})")

    def test_wrong(self) -> None:
        self.assertFinding(self.check("v=DMARC1; p=rejekt"), "error", "no policy")

    def test_policies(self) -> None:
        self.assertFinding(self.check(GOOD.replace("reject", "none")), "note", "p=none")
        self.assertFinding(self.check(GOOD.replace("reject", "quarantine")), "ok", "p=quarantine")
        self.assertFinding(self.check(f"{GOOD}; t=y"), "note", "t=y")
        self.assertFinding(self.check(f"{GOOD}; sp=none"), "warning", "sp=none")
        self.assertFinding(self.check(f"{GOOD}; pct=50"), "note", "pct=")

    def test_reports(self) -> None:
        self.assertFinding(self.check("v=DMARC1; p=reject"), "note", "nobody gets aggregate reports")
        self.assertFinding(self.check("v=DMARC1; p=reject; rua=https://x.example/"), "warning", "not an address")
        self.assertFinding(self.check("v=DMARC1; p=reject; rua=mailto:a@gone.example"), "error", "takes no mail")

    def test_reports_to_somebody_else(self) -> None:
        """RFC 9990 4: who gets them has to agree."""
        self.resolver.set("reports.example", {"A": ["192.0.2.7"]})
        text = "v=DMARC1; p=reject; rua=mailto:a@reports.example!10m"
        finding = self.assertFinding(self.check(text), "error", "does not say that it takes reports")
        self.assertEqual(finding.record, f'{DOMAIN}._report._dmarc.reports.example. IN TXT "v=DMARC1;"')
        self.text(f"{DOMAIN}._report._dmarc.reports.example", "v=DMARC1")
        self.assertAllGood(self.check(text))

    def test_reports_when_dns_does_not_answer(self) -> None:
        self.resolver.set("reports.example", FAIL)
        text = "v=DMARC1; p=reject; rua=mailto:a@reports.example"
        self.assertFinding(self.check(text), "warning", "SERVFAIL")
