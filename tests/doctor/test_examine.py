"""All checks together, and what a site is."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from mailgw.config.schema import Domain, Listener, Relay, RelayRule, Settings
from mailgw.doctor import spf
from mailgw.doctor.examine import examine
from mailgw.doctor.finding import Finding, shown, txt_record, worst
from mailgw.doctor.site import make_site
from tests.doctor.case import ADDRESS, DOMAIN, HOST, NOW, DoctorCase
from tests.fakes import FAIL


class ExamineTests(DoctorCase):
    def examine(self, **options: Any) -> list[Finding]:
        return self.successResultOf(Deferred.fromCoroutine(examine(self.resolver, self.site, NOW, **options)))

    def test_every_subject_is_looked_at(self) -> None:
        subjects = {finding.subject for finding in self.examine()}
        expected = {"resolver", "hostname", "PTR", "certificate", "MX", "SPF", "DKIM", "DMARC", "MTA-STS", "TLS-RPT"}
        self.assertLessEqual(expected, subjects)

    def test_progress(self) -> None:
        steps: list[tuple[int, int]] = []
        self.examine(on_progress=lambda done, total: steps.append((done, total)))
        self.assertEqual(steps, [(n + 1, len(steps)) for n in range(len(steps))])

    def test_addresses_of_the_hostname_where_nothing_else_tells(self) -> None:
        self.change(addresses=())
        self.assertIn(ADDRESS, {finding.about for finding in self.examine() if finding.subject == "PTR"})

    def test_addresses_that_are_given(self) -> None:
        given = {f.about for f in self.examine(addresses=("2001:DB8::1",)) if f.subject == "PTR"}
        self.assertEqual(given, {"2001:db8::1"})

    def test_dns_that_fails_is_a_finding_each(self) -> None:
        self.change(addresses=())
        self.resolver.set(HOST, FAIL)
        self.resolver.set(DOMAIN, FAIL)
        findings = self.examine()
        for subject in ("addresses", "hostname", "MX", "SPF"):
            (finding,) = [finding for finding in findings if finding.subject == subject]
            self.assertEqual(finding.level, "warning")
            self.assertIn("SERVFAIL", finding.fact)

    def test_a_defect_of_one_check_leaves_the_others(self) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        self.patch(spf, "check", broken)
        findings = self.examine()
        self.assertFinding(findings, "warning", "the check failed: RuntimeError('a bug')")
        self.assertIn("DMARC", {finding.subject for finding in findings})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class SiteTests(DoctorCase):
    def test_from_the_configuration(self) -> None:
        settings = Settings(
            hostname="Mail.Bücher.example",
            domains={"bücher.example": Domain()},
            listeners={
                "a": Listener(("0.0.0.0:25", "8.8.8.8:25", "10.0.0.1:25", "[::]:25", "127.0.0.1:25")),
                "b": Listener(("8.8.8.8:465",), kind="submission"),
                "c": Listener(("8.8.4.4:24",), kind="lmtp"),
            },
            relay=Relay(default="route:smart"),
        )
        site = make_site(settings, ())
        self.assertEqual(site.hostname, "mail.xn--bcher-kva.example")
        self.assertEqual(site.domains, ("xn--bcher-kva.example",))
        self.assertEqual((site.addresses, site.smarthosts, site.direct), (("8.8.8.8",), ("smart",), False))

    def test_smarthosts_of_rules(self) -> None:
        rules = {"a": RelayRule(users=("*",), via="route:x"), "b": RelayRule(senders=("<>",), via="mx")}
        for default, names in (("mx", ("x",)), ("route:y", ("y", "x"))):
            site = make_site(Settings(hostname="a.example", relay=Relay(default, rules=rules)), ())
            self.assertEqual((site.smarthosts, site.direct), (names, True))

    def test_addresses_that_our_mail_comes_from(self) -> None:
        relay = Relay(source_addresses=("8.8.4.4", "10.0.0.1"))
        site = make_site(Settings(hostname="a.example", relay=relay), ())
        self.assertEqual((site.addresses, site.outgoing), (("8.8.4.4",), ("8.8.4.4",)))
        relay = evolve(relay, default="route:smart")  # the smarthost sees them, the world does not
        self.assertEqual(make_site(Settings(hostname="a.example", relay=relay), ()).addresses, ())

    def test_worst(self) -> None:
        self.assertEqual(worst([]), "ok")
        levels = [Finding(level, "", "", "") for level in ("ok", "warning", "note")]  # type: ignore[arg-type]
        self.assertEqual(worst(levels), "warning")

    def test_what_strangers_publish_is_printable(self) -> None:
        self.assertEqual(shown(b"a\x1b[2J\xff\r\n"), "a?[2J�??")
        self.assertEqual(len(shown("x" * 1000)), 123)

    def test_records_are_cut_into_strings(self) -> None:
        """RFC 1035 3.3.14."""
        self.assertEqual(txt_record("a.example", "x"), 'a.example. IN TXT "x"')
        self.assertEqual(txt_record("a.example", "x" * 300), f'a.example. IN TXT "{"x" * 255}" "{"x" * 45}"')
