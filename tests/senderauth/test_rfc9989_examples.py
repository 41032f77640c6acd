"""RFC 9989, appendix B: its examples."""

from __future__ import annotations

from tests.senderauth.test_dmarc import PLAIN, DmarcCase, dkim, spf


class AppendixBTests(DmarcCase):
    """B.5 is about what is done with reports."""

    def test_b_1_identifier_alignment(self) -> None:
        for method in (spf, dkim):
            for author, domain, relaxed, strict in (
                ("example.com", "example.com", "pass", "pass"),
                ("example.com", "child.example.com", "pass", "fail"),
                ("child.example.com", "example.com", "pass", "fail"),
                ("child.example.com", "example.net", "fail", "fail"),
            ):
                self.publish("example.com", PLAIN)
                self.assertEqual(self.result(author, method(domain)), relaxed, (author, domain))
                self.publish("example.com", f"{PLAIN}; adkim=s; aspf=s")
                self.assertEqual(self.result(author, method(domain)), strict, (author, domain))

    def test_b_2_records(self) -> None:
        for text, policy, rua in (
            ("v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", "none", 1),
            ("v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com", "none", 1),
            (
                "v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@example.net; t=y",
                "none",
                2,
            ),
            (
                "v=DMARC1; p=reject; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@example.net",
                "reject",
                2,
            ),
        ):
            self.publish("test.example.com", text)
            result = self.check("test.example.com")
            assert result.record is not None
            self.assertEqual((result.result, result.policy, len(result.record.rua)), ("fail", policy, rua), text)

    def test_b_3_session(self) -> None:
        self.publish("example.com", "v=DMARC1; p=reject; aspf=r; rua=mailto:dmarc-feedback@example.com")
        result = self.check("example.com", spf("mail.example.com"), dkim("example.com"))
        self.assertEqual((result.result, len(result.aligned)), ("pass", 2))
        self.assertEqual(self.check("example.com", spf("example.net")).policy, "reject")

    def test_b_4_1_simple(self) -> None:
        self.publish("example.com", PLAIN)
        self.publish("signing.example.com", "v=DMARC1; p=none")
        result = self.check("example.com", spf("example.com"), dkim("signing.example.com"))
        self.assertEqual((result.result, len(result.aligned), result.policy_domain), ("pass", 2, "example.com"))
        self.assertEqual(
            [name for name, _ in self.resolver.asked],
            ["_dmarc.example.com", "_dmarc.com", "_dmarc.signing.example.com"],
        )

    def test_b_4_2_deep(self) -> None:
        author = "a.b.c.d.e.f.g.h.i.j.k.example.com"
        self.publish("example.com", PLAIN)
        self.publish("signing.example.com", "v=DMARC1; p=none")
        result = self.check(author, spf("example.com"), dkim("signing.example.com"))
        self.assertEqual((result.result, len(result.aligned), result.policy_domain), ("pass", 2, "example.com"))
        names = [author, *(f"{prefix}.k.example.com" for prefix in ("g.h.i.j", "h.i.j", "i.j", "j"))]
        names += ["k.example.com", "example.com", "com", "signing.example.com"]
        self.assertEqual(self.resolver.asked, [(f"_dmarc.{name}", "TXT") for name in names])

    def test_b_4_3_public_suffix(self) -> None:
        self.publish("bank.example", "v=DMARC1; p=reject; psd=y")
        self.publish("giant.bank.example", "v=DMARC1; p=quarantine")
        auth = (spf("mail.giant.bank.example"), dkim("mail.mega.bank.example"))
        result = self.check("giant.bank.example", *auth)
        self.assertEqual((result.result, result.policy_domain), ("pass", "giant.bank.example"))
        self.assertEqual([i.method for i in result.aligned], ["spf"])
        # Nobody below the suffix speaks for another, and the suffix for none of them.
        self.assertEqual(self.result("mega.bank.example", auth[0], dkim("bank.example")), "fail")
        self.assertEqual(self.check("mega.bank.example").policy_domain, "bank.example")
