"""Combinations of symbols: when they hold, what they count, and what they take."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import DEFAULT_COMBINATIONS, Combination
from mailgw.mail.evidence import Evidence
from mailgw.mail.verdict import Verdict
from mailgw.verdict.policy import Policy, decide

WEIGHTS = {"A": 1.0, "B": 2.0, "C": -1.0, "BOTH": 4.0}


class CombinationTests(SynchronousTestCase):
    def decide(self, symbols: str, combination: Combination, **policy: object) -> Verdict:
        made = Policy(WEIGHTS, combinations={"BOTH": combination}, **policy)  # type: ignore[arg-type]
        return decide([Evidence(s, "seen") for s in symbols], made, outbound=False)

    def holds(self, symbols: str, **combination: object) -> bool:
        return "BOTH" in [line.symbol for line in self.decide(symbols, Combination(**combination)).lines]  # type: ignore[arg-type]

    def test_all_any_and_none(self) -> None:
        self.assertTrue(self.holds("AB", all=("A", "B")))
        self.assertFalse(self.holds("A", all=("A", "B")))
        self.assertTrue(self.holds("B", any=("A", "B")))
        self.assertFalse(self.holds("C", any=("A", "B")))
        self.assertTrue(self.holds("AC", all=("A",), any=("B", "C")))
        self.assertFalse(self.holds("AB", all=("A",), none=("B",)))
        self.assertFalse(self.holds("", any=("A",)))

    def test_its_line_says_what_it_is_made_of(self) -> None:
        verdict = self.decide("AB", Combination(all=("A",), any=("B", "C"), description="a fraud"))
        line = next(line for line in verdict.lines if line.symbol == "BOTH")
        self.assertEqual((line.detail, line.source, line.points), ("a fraud: A and B", "combination", 4.0))
        self.assertEqual((verdict.score, verdict.action), (7.0, "spam"))

    def test_parts_that_do_not_count_themselves(self) -> None:
        verdict = self.decide("AB", Combination(all=("A", "B"), instead=("B",)))
        lines = {line.symbol: (line.points, line.detail) for line in verdict.lines}
        self.assertEqual(lines["B"], (0.0, "seen (counted in BOTH)"))
        self.assertEqual(verdict.score, 5.0)
        self.assertEqual(verdict.lines[-1].total, verdict.score)

    def test_a_combination_may_decide_by_itself(self) -> None:
        verdict = self.decide("AB", Combination(all=("A", "B")), rules={"BOTH": "reject"})
        self.assertEqual(verdict.action, "reject")

    def test_a_rule_of_a_part_still_holds(self) -> None:
        verdict = self.decide("AB", Combination(all=("A", "B"), instead=("A", "B")), rules={"A": "reject"})
        self.assertEqual(verdict.action, "reject")

    def test_the_order_of_evidence_does_not_matter(self) -> None:
        combination = Combination(all=("A",), any=("B", "C"), instead=("A",))
        self.assertEqual(self.decide("ABC", combination), self.decide("CBA", combination))

    def test_the_default_ones_are_made_of_symbols_that_are_there(self) -> None:
        for name, combination in DEFAULT_COMBINATIONS.items():
            self.assertTrue(combination.all or combination.any, name)
            self.assertLessEqual(set(combination.instead), {*combination.all, *combination.any}, name)
