"""One reply for several verdicts: nobody is told what is not true, and nothing is sent back later."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.evidence import Evidence
from mailgw.mail.verdict import Action
from mailgw.verdict.judgement import Judged, for_one_reply
from mailgw.verdict.policy import Policy, decide


def judged(number: int, score: float = 0.0, rule: Action | None = None, *, defer: str = "") -> Judged:
    policy = Policy({"X": score}, rules={"X": rule} if rule else {})
    return Judged(decide([Evidence("X")], policy, outbound=False, reference="T1", defer=defer), (number,), policy)


def actions(*some: Judged) -> list[str]:
    return [one.verdict.action for one in for_one_reply(some)]


class OneReplyTests(SynchronousTestCase):
    def test_one_verdict_stays(self) -> None:
        one = [judged(0, 20.0)]
        self.assertIs(for_one_reply(one), one)

    def test_all_take_it_each_in_their_way(self) -> None:
        self.assertEqual(actions(judged(0), judged(1, 7.0), judged(2, rule="hold")), ["inbox", "spam", "hold"])

    def test_refused_by_score_while_others_take_it_is_spam(self) -> None:
        (_, refused) = for_one_reply([judged(0), judged(1, 20.0)])
        self.assertEqual((refused.verdict.action, refused.verdict.reply), ("spam", None))
        self.assertIn("reject; but other recipients take it", refused.verdict.reason)

    def test_refused_by_a_rule_while_others_take_it_is_held(self) -> None:
        self.assertEqual(actions(judged(0), judged(1, rule="reject")), ["inbox", "hold"])

    def test_greylisted_while_others_take_it_need_not_come_again(self) -> None:
        self.assertEqual(actions(judged(0), judged(1, 4.5)), ["inbox", "inbox"])
        self.assertEqual(actions(judged(0), judged(1, 7.0, rule="greylist")), ["inbox", "spam"])

    def test_all_refuse(self) -> None:
        self.assertEqual(actions(judged(0, 20.0), judged(1, rule="reject")), ["reject", "reject"])

    def test_who_would_take_it_later_is_not_lost_to_who_refuses(self) -> None:
        both = for_one_reply([judged(0, 20.0), judged(1, 4.5)])
        self.assertEqual([one.verdict.action for one in both], ["greylist", "greylist"])
        self.assertEqual({str(one.verdict.reply)[:9] for one in both}, {"451 4.7.1"})

    def test_what_cannot_be_judged_now_waits_for_all(self) -> None:
        both = for_one_reply([judged(0), judged(1, rule="defer")])
        self.assertEqual([one.verdict.action for one in both], ["defer", "defer"])
        self.assertEqual(len({one.verdict.reply for one in both}), 1)
