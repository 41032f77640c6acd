"""What the checks say, as results and as evidence."""

from __future__ import annotations

import time

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.message import FileContent, Message
from mailgw.mail.transaction import Client
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.authenticator import SYMBOLS, Authenticator, Findings
from tests.fakes import FAIL, FakeResolver, reverse_name
from tests.senderauth.sealing import seal
from tests.senderauth.signing import CONTENT, rsa_record, sign

CLIENT = Client("S", "mx", "192.0.2.1", helo="mx.example.org")
ANN = Mailbox("ann", "example.org")


class AuthenticatorCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(time.time())
        self.resolver = FakeResolver(
            {
                "example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
                "mx.example.org": {"TXT": ["v=spf1 a -all"], "A": ["192.0.2.1"]},
                "open.example": {"TXT": ["v=spf1 +all"]},
                "wrong.example": {"TXT": ["v=spf1 x:y"]},
                "broken.example": FAIL,
                "s1._domainkey.example.org": {"TXT": [rsa_record()]},
                reverse_name("192.0.2.1"): {"PTR": ["mx.example.org"]},
            }
        )
        self.authenticator = Authenticator(self.resolver, ThreadsInline(), "gw.example", self.clock)

    def symbols(self, findings: Findings) -> list[str]:
        symbols = [evidence.symbol for evidence in findings.evidence]
        self.assertLessEqual(set(symbols), set(SYMBOLS))
        return symbols


class SpfTests(AuthenticatorCase):
    def spf(self, reverse_path: Mailbox | None, address: str = "192.0.2.1", helo: str = "mx.example.org") -> Findings:
        client = Client("S", "mx", address, helo=helo)
        return self.successResultOf(Deferred.fromCoroutine(self.authenticator.spf(client, reverse_path)))

    def test_mail_from_and_helo(self) -> None:
        """RFC 7208 2.3 and 2.4: both, the one that DMARC takes first."""
        findings = self.spf(ANN)
        self.assertEqual([(r.method, r.result) for r in findings.auth], [("spf", "pass"), ("spf", "pass")])
        self.assertEqual(
            [r.properties for r in findings.auth],
            [(("smtp.mailfrom", "ann@example.org"),), (("smtp.helo", "mx.example.org"),)],
        )
        (evidence,) = findings.evidence
        self.assertEqual(evidence.symbol, "SPF_PASS")
        self.assertEqual(evidence.detail, "example.org allows 192.0.2.1 (ip4:192.0.2.1)")

    def test_helo_without_a_record_says_nothing(self) -> None:
        for helo in ("absent.example", "[192.0.2.1]", "localhost", "not a name"):
            self.assertEqual(len(self.spf(ANN, helo=helo).auth), 1, helo)

    def test_helo_that_its_owner_forbids(self) -> None:
        findings = self.spf(Mailbox("ann", "open.example"), "192.0.2.9")
        self.assertEqual([r.result for r in findings.auth], ["pass", "fail"])
        self.assertEqual(self.symbols(findings), ["SPF_PASS", "SPF_PLUS_ALL", "SPF_HELO_FAIL"])
        self.assertEqual(findings.evidence[-1].detail, "HELO: mx.example.org forbids 192.0.2.9 (-all)")
        self.resolver.set("soft.example", {"TXT": ["v=spf1 ~all"]})
        self.assertEqual(self.symbols(self.spf(ANN, helo="soft.example")), ["SPF_PASS", "SPF_HELO_SOFTFAIL"])

    def test_helo_that_dns_does_not_tell(self) -> None:
        findings = self.spf(ANN, helo="broken.example")
        self.assertEqual([r.result for r in findings.auth], ["pass", "temperror"])
        self.assertEqual(self.symbols(findings), ["SPF_PASS"])

    def test_helo_does_not_count_for_dmarc_beside_mail_from(self) -> None:
        """RFC 9989 3.2.4."""
        self.resolver.set("_dmarc.mx.example.org", {"TXT": ["v=DMARC1; p=reject"]})
        message = Message.from_bytes(b"From: a@mx.example.org\r\n\r\n")
        auth = self.spf(Mailbox("ann", "open.example")).auth
        check = self.authenticator.dmarc(message, auth)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(check)).auth[0].result, "fail")

    def test_explanation_of_the_domain_is_in_the_evidence(self) -> None:
        """RFC 7208 6.2 and 8.4: as the words of the domain, bounded, without what could end a line."""
        self.resolver.set("why.example", {"TXT": ["v=spf1 -all exp=exp.why.example"]})
        self.resolver.set("exp.why.example", {"TXT": ["%{i} is not\r\nours " + "x" * 400]})
        detail = self.spf(Mailbox("ann", "why.example")).evidence[0].detail
        self.assertTrue(detail.startswith('why.example forbids 192.0.2.1 (-all); why.example explains: "192.0.2.1 is '))
        self.assertTrue(detail.isprintable())
        self.assertLess(len(detail), 400)

    def test_records_that_allow_nearly_everybody(self) -> None:
        for record, symbols in (
            ("v=spf1 ip4:0.0.0.0/0 -all", ["SPF_PASS", "SPF_PLUS_ALL"]),
            ("v=spf1 ip4:128.0.0.0/1 ip4:0.0.0.0/1 -all", ["SPF_PASS", "SPF_PLUS_ALL"]),
            ("v=spf1 all", ["SPF_PASS", "SPF_PLUS_ALL"]),
            ("v=spf1 ip4:192.0.0.0/8 -all", ["SPF_PASS"]),
            ("v=spf1 ?all", ["SPF_NEUTRAL"]),
        ):
            self.resolver.set("wide.example", {"TXT": [record]})
            self.assertEqual(self.symbols(self.spf(Mailbox("ann", "wide.example"))), symbols, record)

    def test_null_reverse_path_is_checked_by_helo(self) -> None:
        (result,) = self.spf(None).auth
        self.assertEqual((result.result, result.properties), ("pass", (("smtp.helo", "mx.example.org"),)))
        (literal,) = self.spf(None, helo="[192.0.2.1]").auth
        self.assertEqual((literal.result, literal.properties), ("none", (("smtp.helo", "[192.0.2.1]"),)))

    def test_symbols(self) -> None:
        for domain, symbols in (
            ("example.org", ["SPF_FAIL"]),
            ("absent.example", ["SPF_NONE"]),
            ("open.example", ["SPF_PASS", "SPF_PLUS_ALL"]),
            ("wrong.example", ["SPF_PERMERROR"]),
            ("broken.example", ["SPF_TEMPERROR"]),
        ):
            findings = self.spf(Mailbox("ann", domain), "192.0.2.9", helo="absent.example")
            self.assertEqual(self.symbols(findings), symbols, domain)

    def test_internationalised_address(self) -> None:
        result = self.spf(Mailbox("jürgen", "bücher.example")).auth[0]
        self.assertEqual(result.properties, (("smtp.mailfrom", "xn--bcher-kva.example"),))
        result = self.spf(Mailbox("ann", "bücher.example")).auth[0]
        self.assertEqual(result.properties, (("smtp.mailfrom", "ann@xn--bcher-kva.example"),))

    def test_dns_that_never_answers_is_a_temperror_in_time(self) -> None:
        self.resolver.silent = True
        checking = Deferred.fromCoroutine(self.authenticator.spf(CLIENT, ANN))
        self.clock.advance(19)
        self.assertNoResult(checking)
        self.clock.advance(1)
        self.assertEqual(self.symbols(self.successResultOf(checking)), ["SPF_TEMPERROR"])

    def test_unexpected_errors_are_temperrors(self) -> None:
        findings = self.spf(ANN, address="no address")
        self.assertEqual(self.symbols(findings), ["SPF_TEMPERROR"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_giving_up(self) -> None:
        self.resolver.silent = True
        checking = Deferred.fromCoroutine(self.authenticator.spf(CLIENT, ANN))
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class DkimTests(AuthenticatorCase):
    def dkim(self, content: bytes) -> Findings:
        message = Message.from_bytes(content)
        return self.successResultOf(Deferred.fromCoroutine(self.authenticator.dkim(message)))

    def test_good(self) -> None:
        findings = self.dkim(sign())
        (result,) = findings.auth
        self.assertEqual((result.method, result.result, result.reason), ("dkim", "pass", ""))
        properties = dict(result.properties)
        self.assertEqual((properties["header.d"], properties["header.s"]), ("example.org", "s1"))
        self.assertEqual((properties["header.a"], len(properties["header.b"])), ("rsa-sha256", 8))
        self.assertEqual(self.symbols(findings), ["DKIM_VALID"])

    def test_not_signed(self) -> None:
        findings = self.dkim(CONTENT)
        self.assertEqual([result.result for result in findings.auth], ["none"])
        self.assertEqual(self.symbols(findings), ["DKIM_NONE"])

    def test_symbols(self) -> None:
        signed = sign()
        self.assertEqual(self.symbols(self.dkim(signed + b"more\r\n")), ["DKIM_INVALID"])
        self.assertEqual(self.symbols(self.dkim(signed.replace(b"v=1", b"v=2"))), ["DKIM_UNACCEPTABLE"])
        self.assertEqual(self.symbols(self.dkim(sign(selector="s2"))), ["DKIM_PERMERROR"])
        self.resolver.set("s1._domainkey.example.org", FAIL)
        self.assertEqual(self.symbols(self.dkim(signed)), ["DKIM_TEMPERROR"])

    def test_one_good_signature_is_enough(self) -> None:
        findings = self.dkim(sign(sign(selector="s2"), include_headers=[b"from"]))
        self.assertEqual([result.result for result in findings.auth], ["pass", "permerror"])
        self.assertEqual(self.symbols(findings), ["DKIM_VALID"])

    def test_content_that_cannot_be_read_is_a_temperror(self) -> None:
        head = sign().partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        message = Message(FileContent(self.mktemp(), 1000), head)
        findings = self.successResultOf(Deferred.fromCoroutine(self.authenticator.dkim(message)))
        self.assertEqual(self.symbols(findings), ["DKIM_TEMPERROR"])
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 1)


class ArcTests(AuthenticatorCase):
    def setUp(self) -> None:
        super().setUp()
        self.resolver.set("s1._domainkey.lists.example", {"TXT": [rsa_record()]})
        self.authenticator = Authenticator(
            self.resolver, ThreadsInline(), "gw.example", self.clock, trusted_sealers=["lists.example"]
        )

    def arc(self, content: bytes) -> Findings:
        return self.successResultOf(Deferred.fromCoroutine(self.authenticator.arc(Message.from_bytes(content), CLIENT)))

    def test_pass_of_a_trusted_sealer(self) -> None:
        findings = self.arc(seal())
        self.assertEqual(findings.auth[0].result, "pass")
        self.assertEqual(findings.auth[0].properties, (("smtp.remote-ip", "192.0.2.1"), ("header.oldest-pass", "0")))
        self.assertEqual((self.symbols(findings), findings.sealer), (["ARC_PASS"], "lists.example"))

    def test_fail(self) -> None:
        findings = self.arc(seal() + b"more\r\n")
        self.assertEqual(findings.auth[0].result, "fail")
        self.assertEqual((self.symbols(findings), findings.sealer), (["ARC_FAIL"], ""))

    def test_no_chain(self) -> None:
        findings = self.arc(CONTENT)
        self.assertEqual((findings.auth[0].result, self.symbols(findings)), ("none", ["ARC_NONE"]))

    def test_dns_that_never_answers_ends_at_the_time_limit(self) -> None:
        self.resolver.silent = True
        arc = Deferred.fromCoroutine(self.authenticator.arc(Message.from_bytes(seal()), CLIENT))
        self.clock.advance(20)
        self.assertEqual(self.symbols(self.successResultOf(arc)), ["ARC_TEMPERROR"])

    def test_a_trusted_seal_excuses_from_dmarc(self) -> None:
        self.resolver.set("_dmarc.example.org", {"TXT": ["v=DMARC1; p=reject"]})
        for content, symbol in ((seal(), "DMARC_EXCEPTION"), (seal(domain="other.example"), "DMARC_FAIL_REJECT")):
            findings = self.arc(content)
            check = self.authenticator.dmarc(
                Message.from_bytes(content), findings.auth, [findings.sealer] if findings.sealer else []
            )
            self.assertEqual(self.symbols(self.successResultOf(Deferred.fromCoroutine(check))), [symbol])


class IprevTests(AuthenticatorCase):
    def iprev(self, address: str) -> Findings:
        client = Client("S", "mx", address)
        return self.successResultOf(Deferred.fromCoroutine(self.authenticator.iprev(client)))

    def test_symbols(self) -> None:
        findings = self.iprev("192.0.2.1")
        self.assertEqual(self.symbols(findings), ["RDNS_VALID"])
        self.assertEqual(findings.auth[0].properties, (("policy.iprev", "192.0.2.1"),))
        self.assertEqual(findings.auth[0].comment, "mx.example.org")
        self.assertEqual(self.symbols(self.iprev("192.0.2.2")), ["NO_RDNS"])
        self.resolver.set(reverse_name("192.0.2.2"), {"PTR": ["mx.example.org"]})
        self.assertEqual(self.symbols(self.iprev("192.0.2.2")), ["RDNS_MISMATCH"])
        self.resolver.set(reverse_name("192.0.2.2"), FAIL)
        self.assertEqual(self.symbols(self.iprev("192.0.2.2")), ["RDNS_TEMPERROR"])
