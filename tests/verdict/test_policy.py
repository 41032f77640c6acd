"""The policy: which verdict evidence leads to, and how its lines add up."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Thresholds
from mailgw.mail.evidence import Evidence
from mailgw.mail.verdict import Action, Verdict
from mailgw.verdict.policy import NO_WEIGHT, Policy, decide

POLICY = Policy({"A": 1.0, "B": 2.5, "C": -0.2, "SPAM": 6.0, "BAD": 15.0, "THIRD": 1 / 3})


def judge(*symbols: str, policy: Policy = POLICY, outbound: bool = False) -> Verdict:
    return decide([Evidence(s) for s in symbols], policy, outbound=outbound, reference="T1")


class ScoreTests(SynchronousTestCase):
    def test_no_evidence_is_no_harm(self) -> None:
        verdict = judge()
        self.assertEqual((verdict.action, verdict.score, verdict.lines, verdict.reply), ("inbox", 0.0, (), None))

    def test_lines_from_the_most_points_to_the_fewest_with_the_running_total(self) -> None:
        lines = judge("C", "A", "B").lines
        self.assertEqual(
            [(line.symbol, line.points, line.total) for line in lines],
            [("B", 2.5, 2.5), ("A", 1.0, 3.5), ("C", -0.2, 3.3)],
        )

    def test_the_order_of_the_evidence_changes_nothing(self) -> None:
        self.assertEqual(judge("C", "A", "B", "X"), judge("X", "B", "A", "C"))

    def test_strength_scales_the_weight_and_stays_within_its_bounds(self) -> None:
        pieces = [Evidence("A", strength=0.5), Evidence("B", strength=9.0), Evidence("SPAM", strength=float("nan"))]
        lines = decide(pieces, POLICY, outbound=False).lines
        self.assertEqual([(x.symbol, x.points) for x in lines], [("B", 2.5), ("A", 0.5), ("SPAM", 0.0)])

    def test_a_symbol_counts_once_with_its_greatest_strength_and_all_details(self) -> None:
        pieces = [Evidence("A", "x", 0.3, "f"), Evidence("A", "y", 0.8, "g"), Evidence("A", "x", 0.1, "f")]
        (line,) = decide(pieces, POLICY, outbound=False).lines
        self.assertEqual((line.points, line.detail), (0.8, "x; y"))

    def test_an_unknown_symbol_weighs_nothing_and_says_so(self) -> None:
        (line,) = judge("UNHEARD").lines
        self.assertEqual((line.weight, line.points, line.detail), (0.0, 0.0, NO_WEIGHT))

    def test_thirds_add_up_to_what_is_shown(self) -> None:
        policy = Policy({f"S{n}": 1 / 3 for n in range(9)})
        verdict = judge(*policy.weights, policy=policy)
        self.assertEqual(verdict.score, 2.97)

    @settings(max_examples=100, deadline=None)
    @given(st.dictionaries(st.sampled_from("ABCDEFGHIJ"), st.floats(-100, 100), max_size=10))
    def test_the_score_is_the_sum_of_the_points_shown(self, weights: dict[str, float]) -> None:
        verdict = judge(*weights, policy=Policy(weights))
        self.assertEqual(f"{sum(round(x.points * 100) for x in verdict.lines) / 100:.2f}", f"{verdict.score:.2f}")
        self.assertNotEqual(f"{verdict.score:.2f}", "-0.00")


class ThresholdTests(SynchronousTestCase):
    def test_a_score_that_reaches_a_threshold_crosses_it(self) -> None:
        for symbol, action in (("A", "inbox"), ("SPAM", "spam"), ("BAD", "reject")):
            self.assertEqual(judge(symbol).action, action)

    def test_just_below_stays_below(self) -> None:
        self.assertEqual(judge("SPAM", policy=Policy({"SPAM": 3.99})).action, "inbox")

    def test_mail_of_our_users_has_thresholds_of_its_own(self) -> None:
        for points, inbound, outbound in ((5.9, "greylist", "inbox"), (6.0, "spam", "hold"), (13.0, "spam", "reject")):
            policy = Policy({"X": points}, Thresholds(outbound_hold=6.0, outbound_reject=12.0))
            self.assertEqual(judge("X", policy=policy).action, inbound)
            self.assertEqual(judge("X", policy=policy, outbound=True).action, outbound)

    def test_who_is_known_is_never_refused_nor_greylisted_by_score_alone(self) -> None:
        for points, action in ((20.0, "spam"), (4.5, "inbox")):
            policy = Policy({"X": points, "KNOWN_CORRESPONDENT": 0.0})
            verdict = judge("X", "KNOWN_CORRESPONDENT", policy=policy)
            self.assertEqual(verdict.action, action)
            self.assertIn("KNOWN_CORRESPONDENT spares it", verdict.reason)

    def test_a_rule_refuses_who_is_known(self) -> None:
        policy = Policy({"X": 0.0, "KNOWN_CORRESPONDENT": -4.0}, rules={"X": "reject"})
        self.assertEqual(judge("X", "KNOWN_CORRESPONDENT", policy=policy).action, "reject")

    def test_the_reason_names_score_and_threshold(self) -> None:
        self.assertEqual(judge("SPAM").reason, "the score 6.00 reaches the spam threshold 6.00")

    def test_a_refusal_gives_the_reference_and_not_the_mechanism(self) -> None:
        reply = judge("BAD").reply
        assert reply is not None
        self.assertEqual((reply.code, reply.status, reply.close), (554, "5.7.1", False))
        self.assertIn("(ref T1)", reply.text)
        self.assertNotIn("BAD", reply.text)


class RuleTests(SynchronousTestCase):
    def decide(self, symbols: str, **rules: Action) -> Verdict:
        return judge(*symbols.split(), policy=Policy(POLICY.weights, rules=rules))

    def test_a_rule_decides_whatever_the_score(self) -> None:
        self.assertEqual(self.decide("BAD", BAD="inbox").action, "inbox")
        self.assertEqual(self.decide("A", A="discard").action, "discard")

    def test_a_rule_without_its_symbol_does_nothing(self) -> None:
        self.assertEqual(self.decide("A", BAD="reject").action, "inbox")

    def test_its_line_comes_first_and_says_so(self) -> None:
        verdict = self.decide("B C", C="spam")
        self.assertEqual([(x.symbol, x.rule) for x in verdict.lines], [("C", "spam"), ("B", "")])
        self.assertEqual(verdict.reason, "the rule for C decides: spam")

    def test_several_rules_by_precedence(self) -> None:
        order: list[Action] = ["inbox", "spam", "greylist", "hold", "defer", "discard", "reject"]
        for weaker, stronger in pairwise(order):
            self.assertEqual(self.decide("A B", A=weaker, B=stronger).action, stronger)
            self.assertEqual(self.decide("A B", A=stronger, B=weaker).action, stronger)

    def test_a_rule_may_defer(self) -> None:
        reply = self.decide("A", A="defer").reply
        assert reply is not None
        self.assertEqual((reply.code, reply.status), (451, "4.7.1"))

    def test_refusals_by_what_a_domain_has_published_say_so(self) -> None:
        """RFC 7208 8.4, RFC 9989 7.2, RFC 7372 3.2 and 3.4."""
        for symbol, status in (("SPF_FAIL", "5.7.23"), ("DMARC_FAIL_REJECT", "5.7.26")):
            reply = self.decide(symbol, **{symbol: "reject"}).reply
            assert reply is not None
            self.assertEqual((reply.code, reply.status), (550, status))
            self.assertIn("(ref T1)", reply.text)

    def test_a_reason_to_defer_goes_before_all(self) -> None:
        verdict = decide([Evidence("BAD")], POLICY, outbound=False, defer="clamav failed")
        self.assertEqual((verdict.action, verdict.reason, verdict.score), ("defer", "clamav failed", 15.0))
