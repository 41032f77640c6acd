"""What DMARC says: in the Authentication-Results field, as evidence, and what the policy makes of it."""

from __future__ import annotations

import time

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Thresholds
from mailgw.mail.dmarc import DmarcEvaluation, PublishedPolicy
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.message import Message
from mailgw.mail.verdict import Verdict
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.authenticator import SYMBOLS, Authenticator, Findings
from mailgw.senderauth.results import authentication_results
from mailgw.verdict.policy import Policy, decide
from tests.fakes import FAIL, FakeResolver
from tests.senderauth.test_dmarc import dkim, spf

RECORDS = {
    "reject.example": "v=DMARC1; p=reject",
    "quarantine.example": "v=DMARC1; p=quarantine",
    "none.example": "v=DMARC1; p=none",
    "testing.example": "v=DMARC1; p=reject; t=y",
    "wrong.example": "v=DMARC1; p=rejekt",
    "broken.example": FAIL,
}


class FindingsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(time.time())
        self.resolver = FakeResolver()
        for domain, text in RECORDS.items():
            self.resolver.set(f"_dmarc.{domain}", FAIL if text == FAIL else {"TXT": [text]})
        self.authenticator = Authenticator(
            self.resolver,
            ThreadsInline(),
            "gw.example",
            self.clock,
            trusted_forwarders=("Lists.Example", "bücher.example"),
        )

    def start(self, author: str, *auth: AuthResult, sealers: tuple[str, ...] = ()) -> Deferred[Findings]:
        message = Message.from_bytes(f"From: {author}\r\n\r\nx\r\n".encode())
        return Deferred.fromCoroutine(self.authenticator.dmarc(message, auth, sealers))

    def find(self, author: str, *auth: AuthResult, sealers: tuple[str, ...] = ()) -> Findings:
        findings = self.successResultOf(self.start(author, *auth, sealers=sealers))
        self.assertLessEqual({piece.symbol for piece in findings.evidence}, set(SYMBOLS))
        return findings

    def evidence(self, author: str, *auth: AuthResult, sealers: tuple[str, ...] = ()) -> Evidence:
        (piece,) = self.find(author, *auth, sealers=sealers).evidence
        self.assertEqual(piece.source, "dmarc")
        return piece

    def field(self, author: str, *auth: AuthResult) -> str:
        field = authentication_results("gw.example", self.find(author, *auth).auth).decode()
        return " ".join(field.removeprefix("Authentication-Results: gw.example;").split())


class ResultTests(FindingsCase):
    def test_field(self) -> None:
        """RFC 9989 9.1, 9.2."""
        for author, auth, field in (
            ("a@reject.example", dkim("reject.example"), "dmarc=pass header.from=reject.example policy.dmarc=reject"),
            ("a@reject.example", spf("x.example"), "dmarc=fail header.from=reject.example policy.dmarc=reject"),
            ("a@testing.example", spf("x.example"), "dmarc=fail header.from=testing.example policy.dmarc=quarantine"),
            ("a@nobody.example", spf("nobody.example"), "dmarc=none header.from=nobody.example"),
        ):
            self.assertEqual(self.field(author, auth), field)
        self.assertIn("dmarc=temperror reason=", self.field("a@broken.example"))
        self.assertIn("dmarc=permerror reason=", self.field("a@wrong.example"))
        self.assertEqual(self.field("Ann"), 'dmarc=permerror reason="no address in From"')
        self.assertIn("header.from=xn--bcher-kva.example", self.field("a@bücher.example"))

    def test_symbols(self) -> None:
        for author, symbol in (
            ("a@reject.example", "DMARC_FAIL_REJECT"),
            ("a@quarantine.example", "DMARC_FAIL_QUARANTINE"),
            ("a@testing.example", "DMARC_FAIL_QUARANTINE"),
            ("a@none.example", "DMARC_FAIL_NONE"),
            ("a@wrong.example", "DMARC_PERMERROR"),
            ("a@broken.example", "DMARC_TEMPERROR"),
            ("a@nobody.example", "DMARC_NONE"),
            ("a@[192.0.2.1]", "DMARC_FROM_INVALID"),
            ("Ann", "DMARC_FROM_INVALID"),
        ):
            self.assertEqual(self.evidence(author).symbol, symbol, author)
        self.assertEqual(self.evidence("a@reject.example", dkim("reject.example")).symbol, "DMARC_PASS")

    def test_details(self) -> None:
        self.assertEqual(
            self.evidence("a@reject.example", spf("x.example"), dkim("y.example")).detail,
            "reject.example did not send this (SPF of x.example, DKIM of y.example only) and asks for refusal",
        )
        self.assertEqual(
            self.evidence("a@b.testing.example").detail,
            "b.testing.example did not send this (neither SPF nor DKIM passes) and asks for quarantine, testing,"
            " policy of testing.example",
        )
        self.assertEqual(
            self.evidence("a@reject.example", dkim("reject.example")).detail,
            "reject.example sent this: DKIM of reject.example",
        )

    def test_of_several_authors_the_worst(self) -> None:
        """RFC 9989 11.5."""
        for authors, symbol in (
            ("a@none.example, b@reject.example, c@quarantine.example", "DMARC_FAIL_REJECT"),
            ("a@none.example, b@nobody.example, c@broken.example", "DMARC_FAIL_NONE"),
            ("a@broken.example, b@nobody.example", "DMARC_TEMPERROR"),
            ("a@evil.example, b@nobody.example", "DMARC_NONE"),
        ):
            self.assertEqual(self.evidence(authors).symbol, symbol)
        self.assertEqual(
            self.evidence("ceo@reject.example, x@none.example", dkim("none.example")).symbol, "DMARC_FAIL_REJECT"
        )
        findings = self.find("a@none.example, b@reject.example")
        self.assertEqual([result.properties[0][1] for result in findings.auth], ["none.example", "reject.example"])

    def test_dns_that_never_answers_is_a_temperror_in_time(self) -> None:
        self.resolver.silent = True
        checking = self.start("a@reject.example")
        self.clock.advance(19)
        self.assertNoResult(checking)
        self.clock.advance(1)
        (piece,) = self.successResultOf(checking).evidence
        self.assertEqual(piece.symbol, "DMARC_TEMPERROR")

    def test_giving_up(self) -> None:
        self.resolver.silent = True
        checking = self.start("a@reject.example")
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ExceptionTests(FindingsCase):
    def test_a_trusted_forwarder(self) -> None:
        piece = self.evidence("a@reject.example", dkim("lists.example"))
        self.assertEqual(piece.symbol, "DMARC_EXCEPTION")
        self.assertEqual(
            piece.detail,
            "the DKIM signature of lists.example lets this pass: reject.example did not send this"
            " (DKIM of lists.example only) and asks for refusal",
        )
        self.assertEqual(
            self.field("a@reject.example", dkim("lists.example")),
            'dmarc=fail reason="excepted by the DKIM signature of lists.example" header.from=reject.example'
            " policy.dmarc=reject",
        )

    def test_a_trusted_forwarder_with_a_non_ascii_name(self) -> None:
        self.assertEqual(self.evidence("a@reject.example", dkim("xn--bcher-kva.example")).symbol, "DMARC_EXCEPTION")

    def test_a_trusted_sealer(self) -> None:
        piece = self.evidence("a@reject.example", sealers=("sealer.example",))
        self.assertEqual(piece.symbol, "DMARC_EXCEPTION")
        self.assertIn("the ARC seal of sealer.example", piece.detail)

    def test_what_is_no_exception(self) -> None:
        for auth in (dkim("lists.example", "fail"), dkim("x.lists.example"), spf("lists.example")):
            self.assertEqual(self.evidence("a@reject.example", auth).symbol, "DMARC_FAIL_REJECT")

    def test_only_a_fail_is_excepted(self) -> None:
        for author, symbol in (("a@broken.example", "DMARC_TEMPERROR"), ("a@lists.example", "DMARC_NONE")):
            self.assertEqual(self.evidence(author, dkim("lists.example")).symbol, symbol)
        auth = (dkim("lists.example"), dkim("reject.example"))
        self.assertEqual(self.evidence("a@reject.example", *auth).symbol, "DMARC_PASS")


class EvaluationTests(FindingsCase):
    """What reports to the domain are made of."""

    def test_a_pass(self) -> None:
        self.resolver.set(
            "_dmarc.org.example", {"TXT": ["v=DMARC1;p=reject;sp=quarantine;adkim=s;rua=mailto:r@x.example"]}
        )
        (found,) = self.find("a@news.org.example", spf("org.example"), dkim("other.example")).dmarc
        published = PublishedPolicy(
            "org.example", "reject", "quarantine", "quarantine", strict_dkim=True, rua=("mailto:r@x.example",)
        )
        self.assertEqual(
            found, DmarcEvaluation("news.org.example", published, "pass", "quarantine", dkim=False, spf=True)
        )

    def test_a_fail_and_its_exception(self) -> None:
        (found,) = self.find("a@reject.example", dkim("lists.example")).dmarc
        self.assertEqual((found.result, found.policy, found.dkim, found.spf), ("fail", "reject", False, False))
        self.assertEqual(found.exception, "the DKIM signature of lists.example")

    def test_without_a_policy_there_is_nothing_to_report(self) -> None:
        for author in ("a@nothing.example", "a@wrong.example", "a@broken.example", "no address"):
            self.assertEqual(self.find(author).dmarc, (), author)

    def test_each_author(self) -> None:
        found = self.find("a@reject.example, b@none.example", spf("none.example")).dmarc
        self.assertEqual([(e.author, e.result) for e in found], [("reject.example", "fail"), ("none.example", "pass")])


class PolicyTests(FindingsCase):
    """What a postmaster can do about a failed `reject`: refuse, put into the spam folder, or let the score decide."""

    def verdict(self, policy: Policy, author: str = "a@reject.example", *auth: AuthResult) -> Verdict:
        return decide(self.find(author, *auth).evidence, policy, outbound=False, reference="T1")

    def test_refuse(self) -> None:
        """RFC 7372 3.4; RFC 9989 7.2 wants the word DMARC."""
        verdict = self.verdict(Policy(SYMBOLS, rules={"DMARC_FAIL_REJECT": "reject"}))
        self.assertEqual(
            str(verdict.reply), "550 5.7.26 Message refused by the DMARC policy of its From domain (ref T1)"
        )
        self.assertEqual(verdict.reason, "the rule for DMARC_FAIL_REJECT decides: reject")

    def test_spam_folder(self) -> None:
        verdict = self.verdict(Policy({}, rules={"DMARC_FAIL_REJECT": "spam"}))
        self.assertEqual((verdict.action, verdict.reply), ("spam", None))

    def test_score(self) -> None:
        """By default the score decides, and without other knowledge it is quarantine (RFC 9989 7.4)."""
        self.assertEqual(self.verdict(Policy(SYMBOLS)).action, "spam")
        pieces = [Evidence(symbol) for symbol in ("DMARC_FAIL_REJECT", "SPF_PASS", "DKIM_VALID")]
        self.assertEqual(decide(pieces, Policy(SYMBOLS), outbound=False).action, "spam")
        self.assertEqual(decide(pieces, Policy({**SYMBOLS, "DMARC_FAIL_REJECT": 4.0}), outbound=False).action, "inbox")
        self.assertEqual(self.verdict(Policy(SYMBOLS), "a@quarantine.example").action, "inbox")

    def test_an_exception_is_a_line_and_no_rule_holds(self) -> None:
        policy = Policy(SYMBOLS, rules={"DMARC_FAIL_REJECT": "reject"})
        verdict = self.verdict(policy, "a@reject.example", dkim("lists.example"))
        self.assertEqual((verdict.action, [line.symbol for line in verdict.lines]), ("inbox", ["DMARC_EXCEPTION"]))

    def test_a_refusal_by_score_does_not_name_dmarc(self) -> None:
        verdict = self.verdict(Policy({"DMARC_FAIL_REJECT": 20.0}, Thresholds()))
        assert verdict.reply is not None
        self.assertEqual((verdict.reply.code, verdict.reply.status), (554, "5.7.1"))

    def test_waiting_for_dns(self) -> None:
        verdict = self.verdict(Policy(SYMBOLS, rules={"DMARC_TEMPERROR": "defer"}), "a@broken.example")
        assert verdict.reply is not None
        self.assertEqual(verdict.reply.code, 451)
