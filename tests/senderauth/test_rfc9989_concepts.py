"""RFC 9989 4.1 to 4.6, a test for each paragraph that states what a receiver does; and 5.3.1, 5.3.6, 11.5, to which
they refer. 4.9 draws what the others say."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailgw.config.schema import Dns
from mailgw.dns.resolver import DnsResolver
from mailgw.mail.evidence import AuthResult
from mailgw.senderauth.dmarc import Dmarc
from tests.dns.test_resolver import FakeExchange
from tests.dnsserver import DnsServer
from tests.fakes import FAIL
from tests.senderauth.rfc9989 import DmarcCase, dkim, spf

PLAIN = "v=DMARC1; p=reject"


class Section41Tests(DmarcCase):
    """4.1 DMARC Basics."""

    def test_4_1_paragraph_1_the_record_is_a_txt_record_below_the_label_dmarc(self) -> None:
        self.resolver.set("example.com", {"TXT": [PLAIN]})
        self.assertEqual(self.result("example.com"), "none")
        self.publish("example.com", PLAIN)
        self.assertEqual(self.result("example.com"), "fail")
        self.assertIn("_dmarc.example.com", self.asked)

    def test_4_1_paragraph_2_pass_takes_a_record_and_an_aligned_identifier(self) -> None:
        self.assertEqual(self.result("example.com", spf("example.com")), "none")
        self.publish("example.com", PLAIN)
        self.assertEqual(self.result("example.com", spf("example.com")), "pass")
        self.assertEqual(self.result("example.com", spf("example.net")), "fail")
        self.assertEqual(self.policy("example.com", spf("example.net")), "reject")

    def test_4_1_paragraph_3_local_parts_are_not_validated(self) -> None:
        self.publish("example.com", f"{PLAIN}; aspf=s")
        self.assertEqual(self.result("From: ceo@example.com\r\n", spf("example.com")), "pass")


class Section42Tests(DmarcCase):
    """4.2 Use of RFC5322.From."""

    def test_4_2_paragraph_1_from_alone_counts(self) -> None:
        self.publish("example.com", PLAIN)
        head = (
            "From: a@example.com\r\nSender: b@example.net\r\nReply-To: c@example.net\r\nResent-From: d@example.net\r\n"
        )
        self.assertEqual(self.result(head, dkim("example.net")), "fail")
        self.assertEqual(self.result(head, dkim("example.com")), "pass")

    def test_4_2_paragraph_2_without_a_single_proper_from_it_does_not_apply(self) -> None:
        """It must not be a way round DMARC either, so it is evidence of its own."""
        self.publish("example.com", PLAIN)
        for head in ("To: a@example.com\r\n", "From: nobody\r\n", "From: a@example.com\r\nFrom: b@example.com\r\n"):
            findings = self.findings(head, dkim("example.com"))
            self.assertEqual([r.result for r in findings.auth], ["permerror"], head)
            self.assertEqual([e.symbol for e in findings.evidence], ["DMARC_FROM_INVALID"], head)


class Section43Tests(DmarcCase):
    """4.3 Authentication Mechanisms."""

    def setUp(self) -> None:
        super().setUp()
        self.publish("example.com", PLAIN)

    def test_4_3_item_1_dkim(self) -> None:
        self.assertEqual(self.result("example.com", dkim("example.com")), "pass")
        for result in ("fail", "policy", "neutral", "permerror", "none"):
            self.assertEqual(self.result("example.com", dkim("example.com", result)), "fail", result)

    def test_4_3_item_2_spf(self) -> None:
        self.assertEqual(self.result("example.com", spf("example.com")), "pass")
        for result in ("fail", "softfail", "neutral", "permerror", "none"):
            self.assertEqual(self.result("example.com", spf("example.com", result)), "fail", result)


class Section44Tests(DmarcCase):
    """4.4 Identifier Alignment Explained."""

    def test_4_4_paragraph_1_relaxed_and_strict_are_the_owners_choice(self) -> None:
        for record, result in (("adkim=r; aspf=r", "pass"), ("adkim=s; aspf=s", "fail"), ("", "pass")):
            self.publish("example.com", f"{PLAIN}; {record}")
            self.assertEqual(self.result("example.com", dkim("mail.example.com")), result, record)
            self.assertEqual(self.result("example.com", spf("mail.example.com")), result, record)

    def test_4_4_paragraph_1_case_does_not_matter(self) -> None:
        self.publish("example.com", f"{PLAIN}; adkim=s; aspf=s")
        self.assertEqual(self.result("From: a@EXAMPLE.Com\r\n", dkim("eXample.COM")), "pass")

    def test_4_4_table_1(self) -> None:
        for identifier, relaxed, strict in (
            ("foo.example.com", "pass", "fail"),
            ("news.example.com", "pass", "pass"),
            ("foo.example.net", "fail", "fail"),
        ):
            for mode, expected in (("r", relaxed), ("s", strict)):
                self.publish("example.com", f"{PLAIN}; adkim={mode}; aspf={mode}")
                self.publish("example.net", PLAIN)
                for method in (dkim, spf):
                    self.assertEqual(self.result("news.example.com", method(identifier)), expected, (identifier, mode))

    def test_4_4_paragraph_3_a_malformed_absent_or_repeated_from_aligns_with_nothing(self) -> None:
        self.publish("example.com", PLAIN)
        for head in (
            "From: <a@example.com\r\n",
            "From: a@@example.com\r\n",
            "From:\r\n",
            "Subject: no author\r\n",
            "From: a@example.com\r\nfrom: a@example.com\r\n",
        ):
            self.assertEqual(self.result(head, dkim("example.com"), spf("example.com")), "permerror", head)

    def test_4_4_1_paragraph_1_the_domain_of_d_counts(self) -> None:
        self.publish("example.com", PLAIN)
        signature = AuthResult("dkim", "pass", (("header.d", "example.net"), ("header.i", "x@example.com")))
        self.assertEqual(self.result("example.com", signature), "fail")

    def test_4_4_1_paragraph_2_a_valid_signature_of_somebody_else_is_not_enough(self) -> None:
        self.publish("example.com", PLAIN)
        self.publish("bad.example", "v=DMARC1; p=none")
        self.assertEqual(self.result("example.com", dkim("bad.example")), "fail")

    def test_4_4_1_paragraph_3_any_of_several_signatures(self) -> None:
        self.publish("example.com", PLAIN)
        others = [dkim("a.example"), dkim("example.com", "fail"), dkim("b.example")]
        self.assertEqual(self.result("example.com", *others), "fail")
        self.assertEqual(self.result("example.com", *others, dkim("example.com")), "pass")

    def test_4_4_2_paragraph_1_the_identity_of_mail_from_alone(self) -> None:
        self.publish("example.com", PLAIN)
        helo = AuthResult("spf", "pass", (("smtp.helo", "example.com"),))
        self.assertEqual(self.result("example.com", spf("bounces.example", "none"), helo), "fail")
        # RFC 7208 2.4, to which 3.2.4 refers: for the null reverse-path that identity is postmaster at HELO.
        self.assertEqual(self.result("example.com", helo), "pass")

    def test_4_4_2_paragraph_2_a_pass_of_somebody_else_is_not_enough(self) -> None:
        self.publish("example.com", PLAIN)
        self.assertEqual(self.result("example.com", spf("bad.example")), "fail")

    def test_4_4_3_other_methods_name_no_identifier(self) -> None:
        self.publish("example.com", PLAIN)
        for method in ("arc", "iprev", "x-new"):
            passed = AuthResult(method, "pass", (("header.d", "example.com"), ("smtp.mailfrom", "a@example.com")))
            self.assertEqual(self.result("example.com", passed), "fail", method)


class Section45Tests(DmarcCase):
    """4.5 DMARC Policy Record Explained."""

    def test_4_5_paragraph_1_who_publishes_nothing_takes_no_part(self) -> None:
        self.publish("example.net", PLAIN)
        self.assertEqual(self.result("example.com"), "none")

    def test_4_5_paragraph_2_a_record_holds_for_names_below_too(self) -> None:
        self.resolver.set("a.example.com", {"A": ["192.0.2.1"]})
        self.publish("example.com", "v=DMARC1; p=reject; sp=quarantine")
        self.assertEqual(self.policy("example.com"), "reject")
        self.assertEqual(self.policy("a.example.com"), "quarantine")

    def test_4_5_paragraph_4_strings_are_joined_in_order(self) -> None:
        clock = Clock()
        exchange = FakeExchange(clock)
        zone = {"_dmarc.example.com": {"TXT": [("v=DMA", "RC1; p=rej", "ect; adk", "im=s")]}}
        exchange.servers["127.0.0.1"] = DnsServer(zone)
        resolver = DnsResolver(clock, Dns(servers=("127.0.0.1",)), random.Random(1), exchange=exchange)
        check = Dmarc(resolver).check(("example.com",), [dkim("a.example.com")])
        (result,) = self.successResultOf(Deferred.fromCoroutine(check))
        self.assertEqual((result.result, result.policy), ("fail", "reject"))

    def test_4_5_paragraph_5_one_method_alone_is_enough(self) -> None:
        self.publish("example.com", PLAIN)
        self.assertEqual(self.result("example.com", spf("example.com", "none"), dkim("example.com")), "pass")
        self.assertEqual(self.result("example.com", spf("example.com"), AuthResult("dkim", "none")), "pass")

    def test_4_5_paragraph_6_the_policy_is_told_to_those_who_decide(self) -> None:
        for policy in ("none", "quarantine", "reject"):
            self.publish("example.com", f"v=DMARC1; p={policy}")
            (evidence,) = self.findings("example.com").evidence
            self.assertEqual(evidence.symbol, f"DMARC_FAIL_{policy.upper()}")

    def test_4_6_uris_are_separated_by_commas(self) -> None:
        """With the space that 4.8 allows around them. A URI makes a record without p= count."""
        self.publish("example.com", "v=DMARC1; rua=mailto:a@example.com , mailto:b@example.net")
        self.assertEqual(self.result("example.com"), "fail")
        (result,) = self.successResultOf(Deferred.fromCoroutine(Dmarc(self.resolver).check(("example.com",), ())))
        assert result.record is not None
        self.assertEqual(result.record.rua, ("mailto:a@example.com", "mailto:b@example.net"))


class Section53Tests(DmarcCase):
    """5.3.1 and 5.3.6, and 11.5 on From fields with several domains."""

    def test_5_3_1_paragraph_1_a_u_label_becomes_an_a_label(self) -> None:
        self.publish("xn--bcher-kva.example", f"{PLAIN}; adkim=s")
        for domain in ("bücher.example", "BÜCHER.example", "xn--bcher-kva.example"):
            self.assertEqual(self.result(domain, dkim("xn--bcher-kva.example")), "pass", domain)
            self.assertEqual(self.result(domain, dkim("bücher.example")), "pass", domain)
        (result,) = self.findings("bücher.example").auth
        self.assertEqual(dict(result.properties)["header.from"], "xn--bcher-kva.example")

    def test_5_3_1_paragraph_2_and_11_5_of_several_domains_the_strictest_that_fails(self) -> None:
        self.publish("one.example", "v=DMARC1; p=none")
        self.publish("two.example", PLAIN)
        findings = self.findings("From: a@one.example, b@two.example\r\nSender: a@one.example\r\n", dkim("one.example"))
        self.assertEqual([r.result for r in findings.auth], ["pass", "fail"])
        self.assertEqual([e.symbol for e in findings.evidence], ["DMARC_FAIL_REJECT"])

    def test_11_5_a_large_number_of_domains_is_not_looked_at(self) -> None:
        authors = ", ".join(f"a@d{n}.example" for n in range(40))
        findings = self.findings(f"From: {authors}\r\n")
        self.assertEqual([e.symbol for e in findings.evidence], ["DMARC_FROM_INVALID"])
        self.assertEqual(self.asked, [])

    def test_5_3_6_paragraph_2_what_dns_does_not_tell_is_neither_pass_nor_fail(self) -> None:
        self.resolver.set("_dmarc.example.com", FAIL)
        found = self.findings("example.com", spf("example.com"), dkim("example.com"))
        self.assertEqual([(r.result, len(r.properties)) for r in found.auth], [("temperror", 1)])
        self.assertEqual([e.symbol for e in found.evidence], ["DMARC_TEMPERROR"])
