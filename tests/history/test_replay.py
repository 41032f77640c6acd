"""Judging kept evidence again: which messages would have gone another way, and which of these changes look wrong."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Override
from mailgw.history.kept import Facts, KeptVerdict
from mailgw.history.replay import Flip, Replay
from mailgw.history.search import Row
from mailgw.mail.address import Mailbox
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Client
from mailgw.verdict.judgement import Judged, for_one_reply
from mailgw.verdict.policies import Policies
from mailgw.verdict.policy import Policy, decide

OLD = Policies(Policy({"A": 1.0, "B": 7.0, "GREY": 4.5}))
BOB = "bob@example.org"


class Kept:
    """Makes messages as the history keeps them, judged by the old policy."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(
        self,
        *symbols: str,
        recipients: tuple[str, ...] = (BOB,),
        identity: str = "",
        sender: str = "ann@example.net",
        policies: Policies = OLD,
        answer: str = "",
        defer: str = "",
    ) -> tuple[Row, Facts]:
        self.number += 1
        evidence = tuple(Evidence(symbol) for symbol in symbols)
        answers = (Evidence(answer),) if answer else ()
        groups: Any = policies.groups([[Mailbox.parse(text)] for text in recipients])
        outbound = bool(identity)
        judged = for_one_reply(
            [
                Judged(decide((*evidence, *answers), policy, outbound=outbound, defer=defer), numbers, policy)
                for policy, numbers in groups
            ]
        )
        kept = tuple(KeptVerdict("", one.recipients, one.verdict, one.policy, answers) for one in judged)
        service: Any = "submission" if identity else "mx"
        client = Client("S1", service, "192.0.2.1", identity=identity)
        values = (sender, "", " ".join(recipients), "", "", 1, kept[0].verdict.action, kept[0].verdict.score, "", "")
        row = Row(f"ID{self.number:03}", float(self.number), service, "192.0.2.1", *values)  # type: ignore[arg-type]
        return row, Facts(client, recipients, (), evidence, kept)


class ReplayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.kept = Kept()

    def replay(self, policies: Policies, *messages: tuple[Row, Facts | None], released: str = "") -> list[Flip]:
        self.work = Replay(policies)
        for row, facts in messages:
            self.work.judge(row, facts)
        return self.work.finish(lambda name: name == released)

    def test_the_same_policy_changes_nothing(self) -> None:
        messages = [
            self.kept("A"),
            self.kept("B"),
            self.kept("B", identity="ann@example.org"),
            self.kept("GREY", answer="GREYLIST_PASSED"),
            self.kept("GREY", answer="GREYLIST_WAIT"),
            self.kept("A", "B", recipients=("a@x.example", "b@y.example")),
        ]
        self.assertEqual(self.replay(OLD, *messages), [])
        self.assertEqual((self.work.judged, self.work.left_out), (6, 0))

    def test_changes_by_kind(self) -> None:
        new = Policies(Policy({"A": 6.5, "B": 1.0}))
        flips = self.replay(new, self.kept("A"), self.kept("B"), self.kept("A", identity="ann@example.org"))
        self.assertEqual([flip.kind for flip in flips], ["inbox -> spam", "spam -> inbox", "inbox -> hold"])
        self.assertEqual((flips[0].old_score, flips[0].new_score, flips[0].is_worse), (1.0, 6.5, True))
        self.assertEqual(self.work.kinds, {"inbox -> spam": 1, "spam -> inbox": 1, "inbox -> hold": 1})

    def test_only_those_recipients_whose_policy_changed(self) -> None:
        new = Policies(OLD.site, {BOB: Override(thresholds={"spam": 0.5, "greylist": 0.5})})
        (flip,) = self.replay(new, self.kept("A", recipients=("eve@example.org", BOB)))
        self.assertEqual((flip.kind, flip.recipients), ("inbox -> spam", (BOB,)))

    def test_an_alias_is_judged_by_the_policy_of_its_mailbox(self) -> None:
        new = Policies(OLD.site, {BOB: Override(thresholds={"spam": 0.5, "greylist": 0.5})})
        row, facts = self.kept("A", recipients=("info@example.net",))
        (verdict,) = facts.verdicts
        facts = evolve(facts, verdicts=(evolve(verdict, owners=(("info@example.net", BOB),)),))
        (flip,) = self.replay(new, (row, facts))
        self.assertEqual((flip.kind, flip.recipients), ("inbox -> spam", ("info@example.net",)))

    def test_evidence_about_one_recipient_counts_for_that_one(self) -> None:
        row, facts = self.kept("A", recipients=("eve@example.org", BOB))
        facts = evolve(facts, evidence=(*facts.evidence, Evidence("C", recipients=(1,))))
        (flip,) = self.replay(Policies(Policy({"A": 1.0, "C": 7.0})), (row, facts))
        self.assertEqual((flip.kind, flip.recipients), ("inbox -> spam", (BOB,)))

    def test_what_was_never_asked_of_greylisting_would_be(self) -> None:
        (flip,) = self.replay(Policies(Policy({"A": 4.5})), self.kept("A"))
        self.assertEqual(flip.kind, "inbox -> greylist")

    def test_what_looks_wrong_stands_first(self) -> None:
        new = Policies(Policy({"A": 1.0, "C": 20.0, "B": 1.0}))
        regular = [self.kept("A", sender="regular@example.net") for _ in range(3)]
        messages = [
            self.kept("C", sender="new@example.net"),
            self.kept("B", "KNOWN_CORRESPONDENT"),
            self.kept("C", "KNOWN_CORRESPONDENT"),
            self.kept("C", sender="regular@example.net"),
            self.kept("C"),
        ]
        flips = self.replay(new, *regular, *messages, released="ID008")
        self.assertEqual(
            [(flip.row.id, flip.kind, flip.risks) for flip in flips],
            [
                ("ID006", "inbox -> spam", ("a known correspondent",)),
                ("ID007", "inbox -> reject", ("3 others of this sender went to the inbox",)),
                ("ID008", "inbox -> reject", ("it was released from quarantine",)),
                ("ID004", "inbox -> reject", ()),
                ("ID005", "spam -> inbox", ()),
            ],
        )

    def test_what_was_not_judged_by_its_evidence_is_left_out(self) -> None:
        row, _ = self.kept("A")
        self.assertEqual(self.replay(Policies(Policy({"A": 9.0})), (row, None), self.kept("A", defer="too slow")), [])
        self.assertEqual((self.work.judged, self.work.left_out), (0, 2))
