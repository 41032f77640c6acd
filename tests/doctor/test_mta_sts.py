"""MTA-STS (RFC 8461) and TLS-RPT (RFC 8460)."""

from __future__ import annotations

from mailgw.doctor import mta_sts, tls_reports
from mailgw.doctor.finding import Finding
from mailgw.mta_sts.fetching import FetchError
from tests.doctor.case import ADDRESS, DOMAIN, HOST, DoctorCase, chain

POLICY = f"version: STSv1\r\nmode: enforce\r\nmx: {HOST}\r\nmax_age: 604800\r\n"


class MtaStsTests(DoctorCase):
    def setUp(self) -> None:
        super().setUp()
        self.resolver.set(DOMAIN, {"MX": [(10, HOST)]})
        self.fetched: list[str] = []

    def check(self, record: str = "v=STSv1; id=1", policy: str | Exception = POLICY) -> list[Finding]:
        async def fetch(url: str) -> bytes:
            self.fetched.append(url)
            if isinstance(policy, Exception):
                raise policy
            return policy.encode()

        self.text(f"_mta-sts.{DOMAIN}", record)
        return self.run_check(mta_sts.check(self.resolver, self.site, DOMAIN, fetch))

    def test_good(self) -> None:
        self.assertAllGood(self.check())
        self.assertEqual(self.fetched, [f"https://mta-sts.{DOMAIN}/.well-known/mta-sts.txt"])

    def test_none(self) -> None:
        finding = self.assertFinding(self.check("v=STSv2; id=1"), "note", "there is no MTA-STS")
        self.assertIn("v=STSv1", finding.record)
        self.assertEqual(self.fetched, [])

    def test_record_without_an_id(self) -> None:
        for record in ("v=STSv1", "v=STSv1; id=", "v=STSv1; id=a-b;"):
            self.assertFinding(self.check(record), "warning", "cannot be used")

    def test_offline(self) -> None:
        self.text(f"_mta-sts.{DOMAIN}", "v=STSv1; id=1")
        findings = self.run_check(mta_sts.check(self.resolver, self.site, DOMAIN, None))
        self.assertFinding(findings, "note", "was not looked at")

    def test_policy_that_cannot_be_had(self) -> None:
        self.assertFinding(self.check(policy=FetchError("the answer is 404")), "warning", "the answer is 404")

    def test_policy_that_is_none(self) -> None:
        for policy in ("", "hello", "version: STSv2\nmode: enforce\n", POLICY.replace("enforce", "forced")):
            self.assertFinding(self.check(policy=policy), "warning", "is no policy")

    def test_policy_without_our_exchange(self) -> None:
        """RFC 8461 5: enforced, nobody delivers there."""
        other = POLICY.replace(HOST, "old.example.org")
        self.assertFinding(self.check(policy=other), "error", f"does not name the exchange {HOST}")
        testing = self.check(policy=other.replace("enforce", "testing"))
        self.assertFinding(testing, "warning", f"does not name the exchange {HOST}")

    def test_certificate_that_does_not_name_the_exchange(self) -> None:
        """RFC 8461 4.2."""
        self.resolver.set(DOMAIN, {"MX": [(10, "mx.example.org")]})
        self.resolver.set("mx.example.org", {"A": [ADDRESS]})
        self.change(chain=chain())
        policy = POLICY.replace(HOST, "*.example.org")
        self.assertFinding(self.check(policy=policy), "error", "does not name the exchange mx.example.org")
        self.change(chain=chain([HOST, "mx.example.org"]))
        self.assertAllGood(self.check(policy=policy))

    def test_modes_and_ages(self) -> None:
        self.assertFinding(self.check(policy=POLICY.replace("enforce", "testing")), "note", "testing")
        self.assertFinding(self.check(policy=POLICY.replace("enforce", "none")), "note", "none")
        self.assertFinding(self.check(policy=POLICY.replace("604800", "60")), "warning", "max_age is 60")
        self.assertFinding(self.check(policy=POLICY.replace("604800", "x")), "warning", "is no policy: its max_age")


class TlsReportTests(DoctorCase):
    def check(self, *texts: str) -> list[Finding]:
        self.text(f"_smtp._tls.{DOMAIN}", *texts)
        return self.run_check(tls_reports.check(self.resolver, self.site, DOMAIN))

    def test_good(self) -> None:
        for uri in ("mailto:t@example.org", "https://reports.example/x", "https://a.example/,mailto:t@example.org"):
            self.assertAllGood(self.check(f"v=TLSRPTv1; rua={uri}"))

    def test_none(self) -> None:
        self.assertIn("TLSRPTv1", self.assertFinding(self.check("hello"), "note", "nobody is told").record)

    def test_several(self) -> None:
        record = "v=TLSRPTv1; rua=mailto:t@example.org"
        self.assertFinding(self.check(record, record), "warning", "2 records")

    def test_wrong(self) -> None:
        for tags in ("", "rua=", "rua=t@example.org", "rua=mailto:nobody"):
            self.assertFinding(self.check(f"v=TLSRPTv1; {tags}"), "warning", "names nobody")
