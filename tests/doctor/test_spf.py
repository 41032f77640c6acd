"""SPF: whether our addresses may send, and what the record costs."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from mailgw.doctor import spf
from mailgw.doctor.finding import Finding
from mailgw.doctor.spf_terms import Terms, read_terms
from tests.doctor.case import ADDRESS, DOMAIN, HOST, DoctorCase


class SpfTests(DoctorCase):
    def check(self, *records: str) -> list[Finding]:
        self.resolver.set(DOMAIN, {"TXT": records, "MX": [(10, HOST)]})
        return self.run_check(spf.check(self.resolver, self.site, DOMAIN))

    def test_good(self) -> None:
        for record in ("v=spf1 mx -all", f"v=spf1 ip4:{ADDRESS} ~all"):
            self.assertAllGood(self.check("something else", record))

    def test_none(self) -> None:
        self.change(addresses=(ADDRESS, "2001:db8::1"))
        finding = self.assertFinding(self.check("v=other"), "warning", "no SPF record")
        self.assertEqual(finding.record, f'{DOMAIN}. IN TXT "v=spf1 ip4:{ADDRESS} ip6:2001:db8::1 -all"')

    def test_several(self) -> None:
        self.assertFinding(self.check("v=spf1 mx -all", "v=spf1 -all"), "error", "2 SPF records")

    def test_an_address_that_may_not_send(self) -> None:
        for ending, level in (("-all", "error"), ("~all", "warning"), ("?all", "warning")):
            findings = self.check(f"v=spf1 ip4:198.51.100.1 {ending}")
            finding = self.assertFinding(findings, level, f"our address {ADDRESS} gets")
            self.assertIn(f"ip4:{ADDRESS}", finding.advice)

    def test_each_address(self) -> None:
        self.change(addresses=(ADDRESS, "2001:db8::1"))
        findings = self.check("v=spf1 mx -all")
        self.assertFinding(findings, "ok", f"{ADDRESS} may send")
        self.assertFinding(findings, "error", "2001:db8::1 gets fail")

    def test_record_that_cannot_be_evaluated(self) -> None:
        self.assertFinding(self.check("v=spf1 ipv4:192.0.2.1 -all"), "error", "gets permerror")

    def test_smarthost(self) -> None:
        self.change(smarthosts=("smart",), direct=False)
        findings = self.check("v=spf1 include:_spf.provider.example -all")
        self.assertFinding(findings, "note", "mail goes out by the smarthost smart")
        self.assertNotIn(ADDRESS, str(findings))

    def test_a_smarthost_for_some_mail(self) -> None:
        self.change(smarthosts=("smart",))
        findings = self.check(f"v=spf1 ip4:{ADDRESS} -all")
        self.assertFinding(findings, "note", "some mail goes out by the smarthost smart")
        self.assertFinding(findings, "ok", f"{ADDRESS} may send")

    def test_endings(self) -> None:
        self.assertFinding(self.check("v=spf1 +all"), "error", "+all lets the whole world")
        self.assertFinding(self.check("v=spf1 all"), "error", "+all lets the whole world")
        self.assertFinding(self.check("v=spf1 mx ?all"), "warning", "?all says nothing")
        self.assertFinding(self.check("v=spf1 mx"), "warning", "ends without all")

    def test_ending_of_a_redirect(self) -> None:
        self.text("_spf.example.org", f"v=spf1 ip4:{ADDRESS} -all")
        self.assertAllGood(self.check("v=spf1 redirect=_spf.example.org"))
        self.text("_spf.example.org", f"v=spf1 ip4:{ADDRESS} ?all")
        self.assertFinding(self.check("v=spf1 redirect=_spf.example.org"), "warning", "?all")

    def test_lookups(self) -> None:
        for count, level in ((3, "ok"), (8, "ok"), (9, "warning"), (10, "warning"), (11, "error")):
            self.resolver.set("a.example", {"A": ["192.0.2.9"]})
            findings = self.check(f"v=spf1 ip4:{ADDRESS} " + "a:a.example " * count + "-all")
            self.assertFinding(findings, level, f"it takes {count} ")

    def test_ptr_and_size(self) -> None:
        findings = self.check(f"v=spf1 ip4:{ADDRESS} ptr " + "ip4:192.0.2.9 " * 40 + "-all")
        self.assertFinding(findings, "warning", "ptr")
        self.assertFinding(findings, "note", "octets")


class TermsTests(DoctorCase):
    def terms(self, record: str) -> Terms:
        return self.successResultOf(Deferred.fromCoroutine(read_terms(self.resolver, record)))

    def test_all_records_together(self) -> None:
        self.text("one.example", "v=spf1 include:two.example a mx ip4:192.0.2.1 -all")
        self.text("two.example", "v=spf1 exists:%{i}.x.example ptr ~all")
        self.assertEqual(self.terms("v=spf1 include:one.example a/24 mx:x.example//64 -all").lookups, 3 + 3 + 2)
        self.assertEqual(self.terms("v=spf1 a redirect=two.example").lookups, 1 + 1 + 2)

    def test_what_stands_behind_all_is_not_evaluated(self) -> None:
        self.assertEqual(self.terms("v=spf1 a -all mx redirect=x.example").lookups, 1)

    def test_loops_end(self) -> None:
        self.text("one.example", "v=spf1 include:two.example -all")
        self.text("two.example", "v=spf1 include:one.example redirect=one.example")
        self.assertLess(self.terms("v=spf1 include:one.example -all").lookups, 100)

    def test_wide_trees_end(self) -> None:
        for n in range(10):
            below = " ".join(f"include:d{n + 1}.example" for _ in range(10))
            self.text(f"d{n}.example", f"v=spf1 {below} -all")
        self.assertGreater(self.terms("v=spf1 include:d0.example -all").lookups, 10)
        self.assertLess(len(self.resolver.asked), 1000)
