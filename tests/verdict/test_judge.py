"""The judge: the order of the checks, their time limit, and whose mail is checked for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.base import FilterSettings
from mailgw.filters.runner import FilterRunner
from mailgw.mail.dmarc import DmarcEvaluation
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.reply import TemporaryFailure
from mailgw.mail.verdict import Verdict
from mailgw.verdict.judge import Judge
from mailgw.verdict.policy import Policy
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


@frozen
class Bench:
    clock: Clock = field(factory=Clock)
    authenticator: StubAuthenticator = field(factory=StubAuthenticator)

    def judge(self, *filters: Any) -> Judge:
        return Judge(self.authenticator, FilterRunner(filters, self.clock), POLICY, self.clock, 60.0)


class JudgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.bench = Bench()
        self.asked = self.bench.authenticator.asked
        self.waits = self.bench.authenticator.waits
        self.transaction = make_transaction()

    def judge(self, *filters: Any) -> Deferred[Verdict]:
        return Deferred.fromCoroutine(self.bench.judge(*filters).judge(self.transaction))

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
        verdict = self.successResultOf(Deferred.fromCoroutine(judge.judge(self.transaction, None)))
        self.assertEqual(self.asked, [])
        self.assertEqual((self.transaction.auth, verdict.action), ([], "spam"))

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
