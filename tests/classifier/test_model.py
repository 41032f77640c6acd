"""The model: it learns, it is not skewed by what it sees more often, and what it learned can be taken away."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier.model import UNIT, VIEWS, Model, Steps
from mailgw.classifier.sample import Sample
from mailgw.classifier.words import strongest
from mailgw.filters.sampling import read_sample
from tests.classifier.support import sample

EMPTY = read_sample(b"")


def learn(model: Model, what: Sample, *, spam: bool) -> Steps:
    return model.learn(model.read(what), spam=spam)


def train(model: Model, count: int) -> None:
    for number in range(count):
        learn(model, sample(number, spam=True), spam=True)
        learn(model, sample(number, spam=False), spam=False)


class LearningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.model = Model.empty()

    def test_it_knows_nothing_at_first(self) -> None:
        self.assertEqual(self.model.read(sample(1, spam=True)).logits, (0.0,) * len(VIEWS))

    def test_after_a_few_messages_every_view_tells_the_kinds_apart(self) -> None:
        train(self.model, 20)
        for number in range(100, 110):
            self.assertGreater(min(self.model.read(sample(number, spam=True)).logits), 1.0)
            self.assertLess(max(self.model.read(sample(number, spam=False)).logits), -1.0)

    def test_a_message_without_content_says_nothing(self) -> None:
        train(self.model, 20)
        self.assertLess(abs(self.model.read(EMPTY).logit), 0.5)
        learn(self.model, EMPTY, spam=True)

    def test_what_is_known_well_makes_small_steps(self) -> None:
        first = learn(self.model, sample(0, spam=True), spam=True)
        self.assertEqual(first, (UNIT // 2,) * len(VIEWS))
        train(self.model, 50)
        later = learn(self.model, sample(51, spam=True), spam=True)
        self.assertLess(max(later), UNIT // 20)

    def test_a_wrong_label_is_outvoted(self) -> None:
        train(self.model, 20)
        learn(self.model, sample(100, spam=True), spam=False)
        self.assertGreater(self.model.read(sample(101, spam=True)).logit, 0.0)

    def test_a_kind_that_is_rare_is_still_known(self) -> None:
        for number in range(400):
            learn(self.model, sample(number, spam=True), spam=True)
            if number % 20 == 0:
                learn(self.model, sample(number, spam=False), spam=False)
        rare = max(self.model.read(sample(number, spam=False)).logit for number in range(1000, 1020))
        usual = min(self.model.read(sample(number, spam=True)).logit for number in range(1000, 1020))
        self.assertGreater(usual - rare, 2.0)

    def test_the_kind_that_is_learned_more_often_makes_smaller_steps(self) -> None:
        self.model.spam, self.model.ham = 990, 52
        unlike = read_sample(b"Subject: completely different things\n\nquartz glyph job vext cwm\n")
        spam_steps = learn(self.model, unlike, spam=True)
        self.model.undo(unlike, spam_steps, spam=True)
        ham_steps = learn(self.model, unlike, spam=False)
        self.assertEqual(ham_steps, (-UNIT // 2,) * len(VIEWS))
        # (62 / 1000) ** (1 / 4) is 0.499.
        self.assertEqual(spam_steps, (1022,) * len(VIEWS))

    def test_the_words_behind_a_score(self) -> None:
        train(self.model, 20)
        both = read_sample(b"Subject: casino meeting\n\ncasino agenda\n")
        self.assertEqual(strongest(self.model, both, spam=True), ("casino",))
        self.assertEqual(set(strongest(self.model, both, spam=False)), {"agenda", "meeting"})
        self.assertEqual(strongest(Model.empty(), both, spam=True), ())


class UndoTests(SynchronousTestCase):
    """Exact to the last bit: integers."""

    MODEL = Model.empty()  # one for all examples: 96 MB of zeros take their time

    def setUp(self) -> None:
        self.MODEL.cells[:] = 0
        self.MODEL.spam = self.MODEL.ham = 0

    def test_learned_and_forgotten_is_as_before(self) -> None:
        train(self.MODEL, 10)
        before = self.MODEL.cells.copy()
        steps = learn(self.MODEL, sample(99, spam=True), spam=True)
        self.assertTrue((before != self.MODEL.cells).any())
        self.MODEL.undo(sample(99, spam=True), steps, spam=True)
        np.testing.assert_array_equal(before, self.MODEL.cells)
        self.assertEqual((self.MODEL.spam, self.MODEL.ham), (10, 10))

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), min_size=1, max_size=12), st.randoms())
    def test_forgotten_in_any_order_nothing_is_left(
        self, history: list[tuple[int, bool, bool]], order: random.Random
    ) -> None:
        learned = [
            (what, learn(self.MODEL, what, spam=label), label)
            for number, kind, label in history
            for what in [sample(number, spam=kind)]
        ]
        order.shuffle(learned)
        for what, steps, label in learned:
            self.MODEL.undo(what, steps, spam=label)
        self.assertFalse(self.MODEL.cells.any())
        self.assertEqual((self.MODEL.spam, self.MODEL.ham), (0, 0))

    def test_the_others_steps_stay(self) -> None:
        samples = [sample(n, spam=n % 2 == 0) for n in range(6)]
        steps = [learn(self.MODEL, what, spam=n % 2 == 0) for n, what in enumerate(samples)]
        self.MODEL.undo(samples[2], steps[2], spam=True)
        left = self.MODEL.cells.copy()
        for n in (0, 1, 3, 4, 5):
            self.MODEL.undo(samples[n], steps[n], spam=n % 2 == 0)
        self.assertTrue(left.any())
        self.assertFalse(self.MODEL.cells.any())
