"""Explanations: the table, the thresholds, and what would have been without a line."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Override
from mailgw.mail.address import Mailbox
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.verdict import Action
from mailgw.verdict import explain as explain_module
from mailgw.verdict.explain import Explanation, explain
from mailgw.verdict.policies import Policies
from mailgw.verdict.policy import Policy, decide

WEIGHTS = {"GTUBE": 10.0, "SPF_PASS": -0.2, "NO_RDNS": 1.5, "BAD": 15.0}


def make(*evidence: Evidence, outbound: bool = False, defer: str = "", **rules: Action) -> Explanation:
    policy = Policy(WEIGHTS, rules=rules)
    return explain(decide(evidence, policy, outbound=outbound, reference="T1", defer=defer), policy, outbound=outbound)


def to_text(explanation: Explanation, auth: Sequence[AuthResult] = ()) -> str:
    return explain_module.to_text([explanation], [["bob@example.org"]], auth)


def to_json(explanation: Explanation, auth: Sequence[AuthResult] = ()) -> str:
    return explain_module.to_json([explanation], [["bob@example.org"]], auth)


GTUBE = Evidence("GTUBE", "the test string", source="gtube")
SPF = Evidence("SPF_PASS", "192.0.2.1", source="spf")


class TextTests(SynchronousTestCase):
    maxDiff = None

    def test_a_whole_page(self) -> None:
        page = to_text(make(SPF, GTUBE), [AuthResult("spf", "pass", (("smtp.mailfrom", "a@b.example"),))])
        self.assertEqual(
            page,
            "verdict  spam\n"
            "reason   the score 9.80 reaches the spam threshold 6.00\n"
            "auth     spf=pass smtp.mailfrom=a@b.example\n"
            "\n"
            "symbol    weight  strength  points  total  source  detail\n"
            "GTUBE      10.00      1.00   10.00  10.00  gtube   the test string\n"
            "SPF_PASS   -0.20      1.00   -0.20   9.80  spf     192.0.2.1\n"
            "\n"
            "threshold greylist 4.00: reached, 5.80 above\n"
            "threshold spam 6.00: reached, 3.80 above  <- decided\n"
            "threshold reject 15.00: not reached, 5.20 short\n"
            "without GTUBE the verdict would have been inbox (score -0.20)\n",
        )

    def test_no_evidence(self) -> None:
        self.assertIn("\nno evidence\n", to_text(make()))

    def test_a_rule_says_what_it_does(self) -> None:
        page = to_text(make(GTUBE, SPF, SPF_PASS="reject"))
        self.assertIn("[rule: reject] 192.0.2.1", page)
        self.assertIn("reply    554 5.7.1 ", page)
        self.assertIn("without SPF_PASS the verdict would have been spam (score 10.00)", page)
        self.assertNotIn("decided\n", page)

    def test_control_characters_do_not_reach_the_terminal(self) -> None:
        page = to_text(make(Evidence("GTUBE", "a\x1b[2Jb\r\nc")))
        self.assertIn("a?[2Jb??c", page)

    def test_outbound_shows_the_threshold_of_outbound(self) -> None:
        page = to_text(make(GTUBE, outbound=True))
        self.assertIn("threshold outbound_reject 12.00: not reached, 2.00 short", page)
        self.assertNotIn("threshold reject", page)


class WithoutTests(SynchronousTestCase):
    def without(self, explanation: Explanation) -> list[tuple[str, str, float]]:
        return [(w.symbol, w.action, w.score) for w in explanation.without]

    def test_lines_that_the_action_hangs_on(self) -> None:
        self.assertEqual(self.without(make(GTUBE, SPF)), [("GTUBE", "inbox", -0.2)])

    def test_a_line_that_saved_the_message(self) -> None:
        evidence = [Evidence("BAD"), SPF]
        self.assertEqual(self.without(make(*evidence)), [("BAD", "inbox", -0.2), ("SPF_PASS", "reject", 15.0)])

    def test_no_line_decides_alone(self) -> None:
        self.assertEqual(self.without(make(GTUBE, Evidence("BAD"), outbound=True)), [("BAD", "hold", 10.0)])
        self.assertEqual(self.without(make(SPF)), [])

    def test_a_forced_deferral_hangs_on_no_line(self) -> None:
        explanation = make(GTUBE, defer="clamav failed")
        self.assertTrue(explanation.forced)
        self.assertEqual(explanation.without, ())
        self.assertEqual(explanation.crossed, "")


class JsonTests(SynchronousTestCase):
    def test_everything_is_in_it(self) -> None:
        data = json.loads(to_json(make(SPF, GTUBE), [AuthResult("spf", "pass", (("smtp.mailfrom", "a@b"),), "why")]))
        self.assertEqual((data["action"], data["score"], data["crossed"]), ("spam", 9.8, "spam"))
        self.assertEqual(data["thresholds"], {"greylist": 4.0, "spam": 6.0, "reject": 15.0})
        self.assertEqual(data["auth"][0]["properties"], [["smtp.mailfrom", "a@b"]])
        first, second = data["lines"]
        self.assertEqual(first["without"], {"action": "inbox", "score": -0.2})
        self.assertEqual((second["symbol"], second["points"], second["total"]), ("SPF_PASS", -0.2, 9.8))
        self.assertIsNone(second["without"])

    def test_nothing_in_it_is_a_command_to_a_terminal(self) -> None:
        """JSON lets C1 control characters stand, and U+009B begins a command as ESC [ does."""
        hostile = "\x9b2J\x1b[2J\u202e\u2028\ud800 ü"
        text = to_json(make(evolve(GTUBE, detail=hostile)))
        self.assertTrue(text.replace("\n", "").isprintable())
        self.assertEqual(json.loads(text)["lines"][0]["detail"], hostile)


class RecipientTests(SynchronousTestCase):
    def test_what_is_set_for_a_recipient_says_by_which_section(self) -> None:
        overrides = {
            "example.org": Override(scores={"GTUBE": 5.0, "BAD": 1.0}),
            "bob@example.org": Override(thresholds={"spam": 4.0}),
        }
        ((policy, _),) = Policies(Policy(WEIGHTS), overrides).groups([[Mailbox("bob", "example.org")]])
        page = to_text(explain(decide([GTUBE], policy, outbound=False), policy, outbound=False))
        self.assertIn('thresholds.spam is set by [recipients."bob@example.org"]', page)
        self.assertIn('scores.GTUBE is set by [recipients."example.org"]', page)
        self.assertNotIn("BAD", page)

    def test_several_verdicts_name_whom_they_are_for(self) -> None:
        page = explain_module.to_text([make(GTUBE), make(SPF)], [["a@example.org"], ["b@example.org", "c@example.org"]])
        first, second = page.split("for      ")[1:]
        self.assertTrue(first.startswith("a@example.org\nverdict  spam\n"), first)
        self.assertTrue(second.startswith("b@example.org, c@example.org\nverdict  inbox\n"), second)
        data = json.loads(explain_module.to_json([make(GTUBE), make(SPF)], [["a@b"], ["c@d"]]))
        self.assertEqual((data["action"], data["recipients"]), ("spam", ["a@b"]))
        self.assertEqual([(one["action"], one["recipients"]) for one in data["also"]], [("inbox", ["c@d"])])
