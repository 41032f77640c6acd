"""Evidence about some recipients: who is judged by what."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.runner import FilterRunner
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.evidence import Evidence
from mailgw.verdict.concerned import concerning, divide
from mailgw.verdict.greylisting import NoGreylist
from mailgw.verdict.judge import Judge
from mailgw.verdict.policies import Policies
from mailgw.verdict.policy import Policy
from tests.filters.support import StubFilter, make_transaction
from tests.verdict.test_judge import StubAuthenticator

SITE = Policy({"DENIED": 8.0, "ALLOWED": -8.0, "SPAM": 7.0})
OTHER = Policy({})


class ConcernedTests(SynchronousTestCase):
    def test_groups_are_divided_by_who_is_concerned(self) -> None:
        groups = [(SITE, (0, 1, 3)), (OTHER, (2,))]
        for pieces, parts in (
            ([()], [(0, 1, 3), (2,)]),
            ([(0,)], [(0,), (1, 3), (2,)]),
            ([(0, 1, 3)], [(0, 1, 3), (2,)]),
            ([(0, 2), (2,)], [(0,), (1, 3), (2,)]),
            ([(0, 1), (1, 3)], [(1,), (0,), (3,), (2,)]),
            ([(9,)], [(0, 1, 3), (2,)]),
        ):
            evidence = [Evidence("X", recipients=piece) for piece in pieces]
            self.assertEqual([numbers for _, numbers in divide(groups, evidence)], parts, pieces)

    def test_what_is_about_a_group(self) -> None:
        evidence = [Evidence("A"), Evidence("B", recipients=(1, 2)), Evidence("C", recipients=(0,))]
        self.assertEqual([e.symbol for e in concerning(evidence, (1,))], ["A", "B"])
        self.assertEqual([e.symbol for e in concerning(evidence, (0,))], ["A", "C"])

    def test_one_recipient_gets_the_message_and_another_does_not(self) -> None:
        stub = StubFilter(
            evidence=[
                Evidence("SPAM"),
                Evidence("ALLOWED", recipients=(1,)),
                Evidence("DENIED", recipients=(0,)),
            ]
        )
        clock = Clock()
        judge = Judge(StubAuthenticator(), FilterRunner([stub], clock), Policies(SITE), NoGreylist(), clock, 60.0)
        recipients = tuple(Recipient(Mailbox(name, "example.org")) for name in ("bob", "carol", "dave"))
        judged = self.successResultOf(Deferred.fromCoroutine(judge.judge(make_transaction(recipients=recipients))))
        found = {one.recipients: (one.verdict.action, one.verdict.score) for one in judged}
        self.assertEqual(found, {(0,): ("reject", 15.0), (1,): ("inbox", -1.0), (2,): ("spam", 7.0)})
