"""Learning from verdicts: only from strong evidence, and never from the classifier's own."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier.sample import Sample
from mailgw.filters.anatomy import Anatomies
from mailgw.filters.automatic import Automatic
from mailgw.filters.classifier import ClassifierSettings
from mailgw.filters.sampling import read_sample
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Action, Verdict, VerdictLine
from mailgw.operation.threads import ThreadsInline
from tests.filters.support import GOOD, make_transaction


class Pupil:
    def __init__(self) -> None:
        self.offered: list[tuple[Sample, bool, str]] = []

    def offer(self, sample: Sample, *, spam: bool, reference: str) -> None:
        self.offered.append((sample, spam, reference))


class AutomaticTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pupil = Pupil()
        self.automatic = Automatic(ClassifierSettings(), self.pupil)

    def observe(self, action: Action, points: dict[str, float], transaction: Transaction | None = None) -> list[bool]:
        transaction = transaction or make_transaction()
        self.successResultOf(Deferred.fromCoroutine(Anatomies(ThreadsInline()).of(transaction)))
        lines = tuple(VerdictLine("X", "", source, p, 1.0, p, 0.0) for source, p in points.items())
        self.automatic.observe(transaction, Verdict(action, sum(points.values()), lines, ""))
        return [spam for _, spam, _ in self.pupil.offered]

    def test_strong_evidence_teaches(self) -> None:
        self.assertEqual(self.observe("spam", {"spf": 12.0}), [True])
        self.assertEqual(self.observe("reject", {"spf": 8.0, "dnsbl": 7.5}), [True, True])
        self.assertEqual(self.observe("inbox", {"correspondence": -4.0, "dkim": -0.2}), [True, True, False])
        self.assertEqual(self.pupil.offered[0][0], read_sample(GOOD))
        self.assertEqual(self.pupil.offered[0][2], "T1")

    def test_evidence_that_is_not_strong_does_not(self) -> None:
        for points in ({}, {"spf": 11.9}, {"dkim": -3.9}):
            self.assertEqual(self.observe("inbox", points), [])

    def test_the_classifiers_own_points_do_not_count(self) -> None:
        self.assertEqual(self.observe("spam", {"spf": 9.0, "classifier": 4.0}), [])
        self.assertEqual(self.observe("inbox", {"dkim": -2.0, "classifier": -2.5}), [])
        self.assertEqual(self.observe("inbox", {"correspondence": -4.5, "classifier": 4.0}), [False])

    def test_our_users_mail_and_what_comes_again_do_not(self) -> None:
        user = make_transaction(identity="bob@example.org")
        self.assertEqual(self.observe("reject", {"spf": 20.0}, user), [])
        self.assertEqual(self.observe("defer", {"spf": 20.0}), [])
        self.assertEqual(self.observe("greylist", {"spf": 20.0}), [])
