"""Our EHLO name, the names of our addresses, the resolver."""

from __future__ import annotations

from mailgw.doctor import dnssec, names
from mailgw.doctor.finding import Finding
from tests.doctor.case import ADDRESS, HOST, DoctorCase
from tests.fakes import FAIL, reverse_name


class HostnameTests(DoctorCase):
    def check(self, **types: list[str]) -> list[Finding]:
        self.resolver.set(HOST, types)
        return self.run_check(names.check_hostname(self.resolver, self.site))

    def test_good(self) -> None:
        self.assertAllGood(self.check(A=[ADDRESS], TXT=["v=spf1 a -all"]))

    def test_no_address(self) -> None:
        finding = self.assertFinding(self.check(), "error", "has no address")
        self.assertEqual(finding.record, f"{HOST}. IN A {ADDRESS}")

    def test_another_address(self) -> None:
        findings = self.check(A=["192.0.2.9"], TXT=["v=spf1 a -all"])
        self.assertFinding(findings, "warning", f"and not to our address {ADDRESS}")
        self.assertFinding(findings, "error", "gets fail for our EHLO name")

    def test_alias(self) -> None:
        self.resolver.set("real.example", {"A": [ADDRESS]})
        self.assertFinding(self.check(CNAME=["real.example"]), "warning", "is a CNAME")

    def test_without_spf(self) -> None:
        self.assertEqual(
            self.assertFinding(self.check(A=[ADDRESS]), "note", "no SPF record").record,
            f'{HOST}. IN TXT "v=spf1 a -all"',
        )


class SourceTests(DoctorCase):
    """Mail comes from an address, and under a name, of its own: [relay] source_addresses and helo."""

    OUT, SOURCE = "out.example.org", "192.0.2.2"

    def setUp(self) -> None:
        super().setUp()
        self.change(helo=self.OUT, addresses=(ADDRESS, self.SOURCE), sources=(self.SOURCE,))

    def test_the_ehlo_name_leads_to_where_mail_comes_from(self) -> None:
        self.resolver.set(self.OUT, {"A": [self.SOURCE], "TXT": ["v=spf1 a -all"]})
        self.assertAllGood(self.run_check(names.check_hostname(self.resolver, self.site)))
        self.resolver.set(self.OUT, {"A": [ADDRESS], "TXT": ["v=spf1 a -all"]})
        findings = self.run_check(names.check_hostname(self.resolver, self.site))
        self.assertFinding(findings, "warning", f"and not to our address {self.SOURCE}")
        self.assertFinding(findings, "error", f"our address {self.SOURCE} gets fail for our EHLO name")

    def test_each_address_has_its_name(self) -> None:
        for address, name in ((ADDRESS, HOST), (self.SOURCE, self.OUT)):
            self.resolver.set(name, {"A": [address]})
            self.resolver.set(reverse_name(address), {"PTR": [name]})
            self.assertAllGood(self.run_check(names.check_address(self.resolver, self.site, address)))
        self.resolver.set(reverse_name(self.SOURCE), {"PTR": []})
        (finding,) = self.run_check(names.check_address(self.resolver, self.site, self.SOURCE))
        self.assertEqual(finding.record, f"{reverse_name(self.SOURCE)}. IN PTR {self.OUT}.")


class AddressTests(DoctorCase):
    def check(self, *pointers: str, fail: bool = False) -> list[Finding]:
        self.resolver.set(reverse_name(ADDRESS), FAIL if fail else {"PTR": pointers})
        return self.run_check(names.check_address(self.resolver, self.site, ADDRESS))

    def test_good(self) -> None:
        self.assertAllGood(self.check(HOST))

    def test_no_name(self) -> None:
        finding = self.assertFinding(self.check(), "error", "has no name")
        self.assertEqual(finding.record, f"{reverse_name(ADDRESS)}. IN PTR {HOST}.")

    def test_name_that_does_not_lead_back(self) -> None:
        self.assertFinding(self.check("gone.example"), "error", "gone.example does not lead back")

    def test_another_name(self) -> None:
        self.resolver.set("dsl-1.provider.example", {"A": [ADDRESS]})
        self.assertFinding(self.check("dsl-1.provider.example"), "warning", "is not our EHLO name")

    def test_dns_does_not_answer(self) -> None:
        self.assertFinding(self.check(fail=True), "warning", "DNS does not tell")


class ResolverTests(DoctorCase):
    def check(self, untrusted: str = "") -> list[Finding]:
        return self.run_check(dnssec.check(self.resolver, self.site, "192.0.2.53:53", untrusted))

    def test_validates(self) -> None:
        self.resolver.set("org", {"SOA": ["ns.example"]})
        self.assertFinding(self.check(), "warning", "mail goes out without DANE")
        self.resolver.authenticated = True
        self.assertAllGood(self.check())

    def test_nobody_needs_it(self) -> None:
        self.change(dane=False)
        self.assertFinding(self.check(), "note", "does not say")

    def test_a_server_beside_it_that_is_not_trusted(self) -> None:
        self.resolver.authenticated = True
        finding = self.assertFinding(self.check("192.0.2.54:53"), "warning", "while the others are silent")
        self.assertEqual(finding.about, "192.0.2.54:53")

    def test_no_answer(self) -> None:
        self.resolver.set("org", FAIL)
        self.assertFinding(self.check(), "error", "does not answer")
