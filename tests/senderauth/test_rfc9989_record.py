"""RFC 9989 4.7 and 4.8, a test for each tag and each rule; and A.6."""

from __future__ import annotations

from tests.senderauth.rfc9989 import DmarcCase, dkim, spf

REPORTS = "rua=mailto:r@example.com"


class Section47Tests(DmarcCase):
    """4.7 DMARC Policy Record Format."""

    def publish_tags(self, tags: str) -> None:
        self.publish("example.com", f"v=DMARC1; {tags}")

    def test_4_7_paragraph_2_unknown_tags_are_ignored(self) -> None:
        self.publish_tags("p=reject; x=1; future=yes; =; ;; novalue")
        self.assertEqual(self.policy("example.com"), "reject")

    def test_4_7_adkim(self) -> None:
        for tags, result in (("p=none", "pass"), ("p=none; adkim=r", "pass"), ("p=none; adkim=s", "fail")):
            self.publish_tags(tags)
            self.assertEqual(self.result("example.com", dkim("a.example.com")), result, tags)
            self.assertEqual(self.result("example.com", spf("a.example.com")), "pass", tags)

    def test_4_7_aspf(self) -> None:
        for tags, result in (("p=none", "pass"), ("p=none; aspf=r", "pass"), ("p=none; aspf=s", "fail")):
            self.publish_tags(tags)
            self.assertEqual(self.result("example.com", spf("a.example.com")), result, tags)
            self.assertEqual(self.result("example.com", dkim("a.example.com")), "pass", tags)

    def test_4_7_fo_and_ruf_change_no_result(self) -> None:
        """We send no failure reports (5.3.9: optional)."""
        self.publish_tags("p=reject; fo=1:d:s; ruf=mailto:f@example.com")
        self.assertEqual(self.policy("example.com"), "reject")
        # 4.10.1 counts rua= alone.
        self.publish_tags("fo=0; ruf=mailto:f@example.com")
        self.assertEqual(self.result("example.com"), "none")

    def test_4_7_np(self) -> None:
        self.resolver.set("there.example.com", {"MX": [(1, "mx.example.com")]})
        for tags, missing, existing, own in (
            ("p=none; np=reject", "reject", "none", "none"),
            ("p=none; sp=quarantine; np=reject", "reject", "quarantine", "none"),
            ("p=none; sp=quarantine", "quarantine", "quarantine", "none"),
            ("p=reject", "reject", "reject", "reject"),
            ("p=reject; np=none", "none", "reject", "reject"),
        ):
            self.publish_tags(tags)
            self.assertEqual(self.policy("missing.example.com"), missing, tags)
            self.assertEqual(self.policy("there.example.com"), existing, tags)
            self.assertEqual(self.policy("example.com"), own, tags)

    def test_4_7_p(self) -> None:
        for policy in ("none", "quarantine", "reject"):
            self.publish_tags(f"p={policy}")
            self.assertEqual(self.policy("example.com"), policy)
            self.assertEqual(self.policy("a.example.com"), policy)

    def test_4_7_p_absent_is_none_where_reports_are_wanted(self) -> None:
        self.publish_tags(REPORTS)
        self.assertEqual((self.result("example.com"), self.policy("example.com")), ("fail", "none"))

    def test_4_7_psd_y(self) -> None:
        """The names below it are organisations of their own."""
        self.publish_tags("p=reject; psd=y")
        self.assertEqual(self.result("one.example.com", dkim("one.example.com")), "pass")
        self.assertEqual(self.result("one.example.com", dkim("two.example.com")), "fail")
        self.assertEqual(self.result("one.example.com", dkim("example.com")), "fail")

    def test_4_7_psd_n(self) -> None:
        """It is the organisation, whatever stands above it."""
        self.publish_tags("p=reject; psd=n")
        self.publish("com", "v=DMARC1; p=none")
        self.assertEqual(self.result("a.example.com", dkim("b.example.com")), "pass")
        self.assertEqual(self.result("a.example.com", dkim("b.com")), "fail")

    def test_4_7_psd_u_is_the_default(self) -> None:
        self.publish("com", "v=DMARC1; p=none")
        for tags in ("p=reject", "p=reject; psd=u", "p=reject; psd=x"):
            self.publish_tags(tags)
            self.assertEqual(self.result("a.example.com", dkim("b.com")), "pass", tags)

    def test_4_7_rua_with_a_scheme_of_others(self) -> None:
        """Any valid URI can be given; one that we do not support is not used."""
        self.publish_tags("rua=https://reports.example.com/dmarc")
        self.assertEqual(self.policy("example.com"), "none")

    def test_4_7_sp(self) -> None:
        self.resolver.set("there.example.com", {"A": ["192.0.2.1"]})
        self.publish_tags("p=reject; sp=none")
        self.assertEqual(self.policy("there.example.com"), "none")
        self.assertEqual(self.policy("example.com"), "reject")

    def test_4_7_sp_below_an_organisation_is_ignored(self) -> None:
        self.publish_tags("p=quarantine")
        self.publish("a.example.com", "v=DMARC1; p=none; sp=reject")
        self.resolver.set("b.a.example.com", {"A": ["192.0.2.1"]})
        self.assertEqual(self.policy("b.a.example.com"), "quarantine")

    def test_4_7_t(self) -> None:
        self.resolver.set("there.example.com", {"A": ["192.0.2.1"]})
        for asked, tested in (("reject", "quarantine"), ("quarantine", "none"), ("none", "none")):
            for tags, author in (("p={}", "example.com"), ("p=none; sp={}", "there.example.com")):
                self.publish_tags(f"{tags.format(asked)}; t=y")
                self.assertEqual(self.policy(author), tested, (asked, author))
                for other in ("; t=n", "", "; t=x"):
                    self.publish_tags(tags.format(asked) + other)
                    self.assertEqual(self.policy(author), asked, (asked, author, other))
        self.publish_tags("p=none; np=reject; t=y")
        self.assertEqual(self.policy("missing.example.com"), "quarantine")

    def test_4_7_v(self) -> None:
        for text, result in (
            ("v=DMARC1; p=reject", "fail"),
            ("V = DMARC1 ;p=reject", "fail"),
            ("v=dmarc1; p=reject", "none"),
            ("v=DMARC2; p=reject", "none"),
            ("v=DMARC1x; p=reject", "none"),
            ("p=reject; v=DMARC1", "none"),
            ("p=reject", "none"),
            ("v=spf1 -all", "none"),
        ):
            self.publish("example.com", text)
            self.assertEqual(self.result("example.com"), result, text)


class Section48Tests(DmarcCase):
    """4.8 Formal Definition."""

    def test_4_8_paragraph_1_what_is_wrong_has_its_default(self) -> None:
        self.publish("example.com", "v=DMARC1; p=reject; adkim=strict; aspf=; psd=maybe; t=yes; fo=9; rua=nothing")
        self.assertEqual(self.policy("example.com"), "reject")
        self.assertEqual(self.result("example.com", dkim("a.example.com")), "pass")
        self.assertEqual(self.result("example.com", spf("a.example.com")), "pass")

    def test_4_8_space_around_separators(self) -> None:
        for text in ("v=DMARC1;p=reject", "v=DMARC1 ; p = reject ; ", "v = DMARC1\t;\tp\t=\treject"):
            self.publish("example.com", text)
            self.assertEqual(self.policy("example.com"), "reject", text)

    def test_4_8_names_and_values_without_case(self) -> None:
        """RFC 5234 2.3: strings of the grammar have no case; only the version has (RFC 7405)."""
        self.publish("example.com", "v=DMARC1; P=Reject; ADKIM=S")
        self.assertEqual(self.policy("example.com"), "reject")
        self.assertEqual(self.result("example.com", dkim("a.example.com")), "fail")

    def test_4_8_obs_dmarc_report_size_is_ignored(self) -> None:
        self.publish("example.com", "v=DMARC1; rua=mailto:r@example.com!10m")
        self.assertEqual(self.policy("example.com"), "none")


class AppendixA6Tests(DmarcCase):
    def test_a_6_pct_is_ignored(self) -> None:
        """Neither as pct nor as t=y: it is an unknown tag now."""
        for percent in ("0", "1", "50", "100", "x"):
            self.publish("example.com", f"v=DMARC1; p=reject; pct={percent}")
            self.assertEqual((self.result("example.com"), self.policy("example.com")), ("fail", "reject"))
