"""The judge: the order of the checks, their time limit, and whose mail is checked for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Override, Thresholds
from mailgw.filters.base import FilterSettings
from mailgw.filters.runner import FilterRunner
from mailgw.mail.address import Mailbox
from mailgw.mail.dmarc import DmarcEvaluation
from mailgw.mail.envelope import Recipient
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.reply import TemporaryFailure
from mailgw.mail.verdict import Verdict
from mailgw.verdict.greylisting import GreylistAnswer
from mailgw.verdict.judge import Judge
from mailgw.verdict.judgement import Judged
from mailgw.verdict.policies import Policies
from mailgw.verdict.policy import SYMBOLS, Policy
from tests.filters.support import StubFilter, make_transaction

POLICY = Policy({"SPF_FAIL": 1.0, "STUB": 6.0})


@frozen
class StubFindings:
    auth: tuple[AuthResult, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    sealer: str = ""
    dmarc: tuple[DmarcEvaluation, ...] = ()


class StubAuthenticator:
    """Gives an AuthResult for each method; a method in `waits` is answered when its Deferred fires."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.seen: list[str] = []
        self.waits: dict[str, Deferred[None]] = {}

    async def _check(self, method: str, *evidence: Evidence) -> StubFindings:
        self.asked.append(method)
        if method in self.waits:
            await self.waits[method]
        return StubFindings((AuthResult(method, "pass"),), evidence)

    async def iprev(self, client: Any) -> StubFindings:
        return await self._check("iprev")

    async def helo(self, client: Any) -> StubFindings:
        return StubFindings()

    async def spf(self, client: Any, reverse_path: Any) -> StubFindings:
        return await self._check("spf", Evidence("SPF_FAIL", str(reverse_path), source="spf"))

    async def dkim(self, message: Any) -> StubFindings:
        return await self._check("dkim")

    async def arc(self, message: Any, client: Any) -> StubFindings:
        return evolve(await self._check("arc"), sealer="lists.example")

    async def dmarc(self, message: Any, auth: Sequence[AuthResult], sealers: Sequence[str]) -> StubFindings:
        self.seen = [*(result.method for result in auth), *sealers]
        return await self._check("dmarc")


class StubGreylist:
    """Gives `answer`, or raises it; keeps whom it was asked for."""

    def __init__(self) -> None:
        self.answer: GreylistAnswer | Exception | Deferred[GreylistAnswer] = GreylistAnswer(detail="seen before")
        self.asked: list[list[str]] = []

    async def ask(self, transaction: Any, recipients: Sequence[Recipient]) -> GreylistAnswer:
        self.asked.append([str(recipient.forward_path) for recipient in recipients])
        if isinstance(self.answer, Exception):
            raise self.answer
        return await self.answer if isinstance(self.answer, Deferred) else self.answer


@frozen
class Bench:
    clock: Clock = field(factory=Clock)
    authenticator: StubAuthenticator = field(factory=StubAuthenticator)
    greylist: StubGreylist = field(factory=StubGreylist)
    policies: Policies = field(factory=lambda: Policies(POLICY))

    def judge(self, *filters: Any) -> Judge:
        return Judge(
            self.authenticator, FilterRunner(filters, self.clock), self.policies, self.greylist, self.clock, 60.0
        )


class JudgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.bench = Bench()
        self.asked = self.bench.authenticator.asked
        self.waits = self.bench.authenticator.waits
        self.transaction = make_transaction()

    def judge(self, *filters: Any) -> Deferred[Verdict]:
        async def only() -> Verdict:
            (judged,) = await self.bench.judge(*filters).judge(self.transaction)
            return judged.verdict

        return Deferred.fromCoroutine(only())

    def test_results_and_evidence_stand_in_the_transaction_and_are_weighed(self) -> None:
        verdict = self.successResultOf(self.judge(StubFilter(evidence=[Evidence("STUB")])))
        self.assertEqual([a.method for a in self.transaction.auth], ["iprev", "spf", "dkim", "arc", "dmarc"])
        self.assertEqual([e.symbol for e in self.transaction.evidence], ["SPF_FAIL", "STUB"])
        self.assertEqual((verdict.action, verdict.score), ("spam", 7.0))

    def test_filters_see_the_authentication_results(self) -> None:
        seen: list[str] = []

        class Looks(StubFilter):
            async def check(self, transaction: Any) -> tuple[Evidence, ...]:
                seen.extend(a.method for a in transaction.auth)
                return ()

        self.waits["dkim"] = Deferred()
        verdict = self.judge(Looks())
        self.assertEqual(seen, [])
        self.waits["dkim"].callback(None)
        self.successResultOf(verdict)
        self.assertEqual(seen, ["iprev", "spf", "dkim", "arc", "dmarc"])

    def test_what_was_begun_early_is_not_asked_again(self) -> None:
        self.waits["spf"] = Deferred()
        judge = self.bench.judge()
        early = judge.begin(self.transaction.client, self.transaction.envelope.reverse_path)
        self.assertEqual(self.asked, ["iprev", "spf"])
        self.waits["spf"].callback(None)
        self.successResultOf(Deferred.fromCoroutine(judge.judge(self.transaction, early)))
        self.assertEqual(self.asked, ["iprev", "spf", "dkim", "arc", "dmarc"])

    def test_an_authenticated_user_is_not_asked_for_spf_and_dkim_but_filtered(self) -> None:
        self.transaction = make_transaction(identity="ann@example.org", service="submission")
        judge = self.bench.judge(StubFilter(evidence=[Evidence("STUB")]))
        self.assertIsNone(judge.begin(self.transaction.client, None))
        (judged,) = self.successResultOf(Deferred.fromCoroutine(judge.judge(self.transaction, None)))
        self.assertEqual(self.asked, [])
        self.assertEqual((self.transaction.auth, judged.verdict.action), ([], "hold"))

    def test_by_lmtp_only_signatures_are_asked_for(self) -> None:
        """The client is a server of ours: what its address says of the sender is wrong."""
        self.transaction = make_transaction(service="lmtp")
        self.successResultOf(self.judge(StubFilter()))
        self.assertEqual(self.asked, ["dkim", "arc"])

    def test_dmarc_runs_when_spf_dkim_and_arc_have_ended(self) -> None:
        self.waits["dkim"] = Deferred()
        verdict = self.judge()
        self.assertNotIn("dmarc", self.asked)
        self.waits["dkim"].callback(None)
        self.successResultOf(verdict)
        self.assertEqual(self.bench.authenticator.seen, ["iprev", "spf", "dkim", "arc", "lists.example"])

    def test_too_slow_defers_with_what_is_known(self) -> None:
        self.waits["dkim"] = Deferred()
        verdict = self.judge(StubFilter())
        self.bench.clock.advance(60)
        result = self.successResultOf(verdict)
        self.assertEqual((result.action, result.score), ("defer", 1.0))
        self.assertIn("60 s", result.reason)
        assert result.reply is not None
        self.assertEqual(result.reply.code, 451)
        self.assertTrue(self.waits["dkim"].called)
        self.assertEqual(self.bench.clock.getDelayedCalls(), [])

    def test_a_filter_that_must_not_be_left_out_defers(self) -> None:
        settings = FilterSettings(on_error="defer")
        verdict = self.judge(StubFilter("clamav", error=TemporaryFailure("gone"), settings=settings))
        result = self.successResultOf(verdict)
        self.assertEqual(result.action, "defer")
        self.assertIn("clamav", result.reason)

    def test_an_early_check_can_be_cancelled(self) -> None:
        self.waits["spf"] = Deferred()
        early = self.bench.judge().begin(self.transaction.client, None)
        assert early is not None
        early.cancel()
        self.assertTrue(self.waits["spf"].called)

    def test_a_cancelled_judge_cancels_its_checks(self) -> None:
        self.waits["spf"] = self.waits["dkim"] = Deferred()
        verdict = self.judge()
        verdict.cancel()
        self.failureResultOf(verdict, CancelledError)
        self.assertTrue(self.waits["dkim"].called)
        self.assertEqual(self.bench.clock.getDelayedCalls(), [])


class GreylistTests(SynchronousTestCase):
    """It is asked only where the score, or a rule, calls for it."""

    def judge(self, bench: Bench, score: float, **changes: Any) -> Judged:
        policy = Policy({"SCORE": score, "SPF_FAIL": 0.0, **SYMBOLS}, rules=changes.pop("rules", {}))
        bench = evolve(bench, policies=Policies(policy))
        judge = bench.judge(StubFilter(evidence=[Evidence("SCORE")]))
        (judged,) = self.successResultOf(Deferred.fromCoroutine(judge.judge(make_transaction(**changes))))
        return judged

    def test_only_within_the_band(self) -> None:
        bench = Bench()
        for score, action in ((3.9, "inbox"), (4.0, "inbox"), (5.9, "inbox"), (6.0, "spam"), (15.0, "reject")):
            self.assertEqual(self.judge(bench, score).verdict.action, action)
        self.assertEqual(bench.greylist.asked, [["bob@example.org"]] * 2)

    def test_who_has_to_wait_is_told_how_long(self) -> None:
        bench = Bench()
        bench.greylist.answer = GreylistAnswer(270.0, "first seen")
        judged = self.judge(bench, 4.5)
        self.assertEqual(judged.verdict.action, "greylist")
        self.assertEqual(str(judged.verdict.reply), "451 4.7.1 Greylisted, please try again in 5 minutes (ref T1)")
        self.assertEqual([(piece.symbol, piece.detail) for piece in judged.answers], [("GREYLIST_WAIT", "first seen")])
        self.assertIn("GREYLIST_WAIT", [line.symbol for line in judged.verdict.lines])

    def test_who_passes_has_a_line_that_says_why(self) -> None:
        judged = self.judge(Bench(), 4.5)
        self.assertIn(("GREYLIST_PASSED", "seen before"), [(line.symbol, line.detail) for line in judged.verdict.lines])
        self.assertIn("GREYLIST_PASSED spares it", judged.verdict.reason)

    def test_a_store_that_fails_holds_no_mail_up(self) -> None:
        bench = Bench()
        bench.greylist.answer = TemporaryFailure("disk")
        judged = self.judge(bench, 4.5)
        self.assertEqual(judged.verdict.action, "inbox")
        self.assertIn("disk", judged.answers[0].detail)

    def test_a_store_that_is_locked_holds_no_mail_up(self) -> None:
        """A command that held the file for ten seconds held up mail for as long."""
        bench = evolve(Bench(), policies=Policies(Policy({"SCORE": 4.5, "SPF_FAIL": 0.0, **SYMBOLS})))
        bench.greylist.answer = Deferred()
        judge = bench.judge(StubFilter(evidence=[Evidence("SCORE")]))
        waiting = Deferred.fromCoroutine(judge.judge(make_transaction()))
        self.assertNoResult(waiting)
        bench.clock.advance(2.0)
        (judged,) = self.successResultOf(waiting)
        self.assertEqual(judged.verdict.action, "inbox")
        self.assertIn("not known within 2 s", judged.answers[0].detail)

    def test_a_rule_calls_for_it_whatever_the_score(self) -> None:
        bench = Bench()
        self.assertEqual(self.judge(bench, 0.0, rules={"SPF_FAIL": "greylist"}).verdict.action, "inbox")
        self.assertEqual(self.judge(bench, 7.0, rules={"SPF_FAIL": "greylist"}).verdict.action, "spam")
        self.assertEqual(len(bench.greylist.asked), 2)

    def test_mail_of_our_users_is_not_greylisted(self) -> None:
        bench = Bench()
        judged = self.judge(bench, 4.5, identity="ann@example.org", service="submission")
        self.assertEqual((judged.verdict.action, bench.greylist.asked), ("inbox", []))


class RecipientTests(SynchronousTestCase):
    """Who has a policy of their own is judged by it, from the same evidence."""

    BOB = Recipient(Mailbox("bob", "example.org"))
    EVE = Recipient(Mailbox("eve", "example.org"))

    def test_each_by_their_own_policy_and_the_checks_run_once(self) -> None:
        strict = Override(thresholds={"spam": 2.0})
        bench = evolve(Bench(), policies=Policies(POLICY, {"eve@example.org": strict}))
        stub = StubFilter(evidence=[Evidence("STUB", strength=0.5)])
        transaction = make_transaction(recipients=(self.BOB, self.EVE, self.BOB))
        judged = self.successResultOf(Deferred.fromCoroutine(bench.judge(stub).judge(transaction)))
        self.assertEqual([(one.recipients, one.verdict.action) for one in judged], [((0, 2), "inbox"), ((1,), "spam")])
        self.assertEqual(stub.calls, 1)

    def test_an_alias_leads_to_the_policy_of_its_mailbox(self) -> None:
        bench = evolve(Bench(), policies=Policies(POLICY, {"eve@example.org": Override(thresholds={"spam": 2.0})}))
        transaction = make_transaction(recipients=(Recipient(Mailbox("info", "example.org")),))
        owners = [[Mailbox("info", "example.org"), Mailbox("eve", "example.org")]]
        judge = bench.judge(StubFilter(evidence=[Evidence("STUB", strength=0.5)]))
        (judged,) = self.successResultOf(Deferred.fromCoroutine(judge.judge(transaction, None, owners)))
        self.assertEqual(judged.verdict.action, "spam")

    def test_a_user_who_submits_has_a_policy_too(self) -> None:
        newsletter = Override(thresholds={"outbound_hold": 9.0})
        site = Policy({"STUB": 7.0}, Thresholds(outbound_hold=6.0))
        bench = evolve(Bench(), policies=Policies(site, users={"news@example.org": newsletter}))
        for identity, action in (("news@example.org", "inbox"), ("ann@example.org", "hold")):
            transaction = make_transaction(identity=identity, service="submission")
            judge = bench.judge(StubFilter(evidence=[Evidence("STUB")]))
            (judged,) = self.successResultOf(Deferred.fromCoroutine(judge.judge(transaction)))
            self.assertEqual(judged.verdict.action, action)
