"""The model: it learns, it is not skewed by what it sees more often, and what it learned can be taken away."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier import features
from mailgw.classifier.learning import KEPT, InMemory, Learning
from mailgw.classifier.model import UNIT, VIEWS, Model, Taught
from mailgw.classifier.sample import Sample
from mailgw.classifier.words import strongest
from mailgw.filters.sampling import read_sample
from tests.classifier.support import sample

EMPTY = read_sample(b"")


def learn(model: Model, what: Sample, *, spam: bool) -> Taught:
    return model.teach(model.read(what), spam=spam)


def undo(model: Model, what: Sample, taught: Taught) -> None:
    model.undo(features.all_slots(what), taught)


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
        self.assertEqual(first.steps, (UNIT // 2,) * len(VIEWS))
        train(self.model, 50)
        later = learn(self.model, sample(51, spam=True), spam=True)
        self.assertLess(max(later.steps), UNIT // 20)

    def test_a_wrong_label_is_outvoted(self) -> None:
        train(self.model, 20)
        learn(self.model, sample(100, spam=True), spam=False)
        self.assertGreater(self.model.read(sample(101, spam=True)).logit, 0.0)

    def test_the_words_behind_a_score(self) -> None:
        train(self.model, 20)
        both = read_sample(b"Subject: casino meeting\n\ncasino agenda\n")
        self.assertEqual(strongest(self.model, both, spam=True), ("casino",))
        self.assertEqual(set(strongest(self.model, both, spam=False)), {"agenda", "meeting"})
        self.assertEqual(strongest(Model.empty(), both, spam=True), ())


class RehearsalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.model = Model.empty()
        self.memory = InMemory()
        self.learning = Learning(self.model, self.memory)

    def learn(self, numbers: range, *, spam: bool) -> None:
        for number in numbers:
            what = sample(number, spam=spam)
            self.learning.learn(what.key, self.model.read(what), spam=spam)

    def errors(self) -> list[tuple[bool, int]]:
        return [
            (spam, number)
            for number in range(5000, 5100)
            for spam in (True, False)
            if (self.model.read(sample(number, spam=spam)).logit > 0) != spam
        ]

    def test_one_kind_after_the_other(self) -> None:
        for first in (True, False):
            self.setUp()
            self.learn(range(300), spam=first)
            self.learn(range(300, 600), spam=not first)
            self.assertEqual(self.errors(), [], first)

    def test_a_rare_kind_is_not_drowned(self) -> None:
        for rare in (True, False):
            self.setUp()
            for start in range(0, 1000, 50):
                self.learn(range(start, start + 49), spam=not rare)
                self.learn(range(start + 49, start + 50), spam=rare)
            self.assertEqual(self.errors(), [], rare)

    def test_what_is_kept_is_bounded(self) -> None:
        self.learn(range(KEPT + 500), spam=True)
        places = [place for place in range(2 * KEPT) if self.memory.recall(True, place)]
        self.assertEqual(len({self.memory.recall(True, place)[0] for place in places}), KEPT)  # type: ignore[index]
        self.assertEqual((self.model.spam, self.model.ham), (KEPT + 500, 0))


class UndoTests(SynchronousTestCase):
    """Exact to the last bit: integers."""

    MODEL = Model.empty()  # one for all examples: 96 MB of zeros take their time

    def setUp(self) -> None:
        self.MODEL.cells[:] = 0

    def test_learned_and_forgotten_is_as_before(self) -> None:
        train(self.MODEL, 10)
        before = self.MODEL.cells.copy()
        steps = learn(self.MODEL, sample(99, spam=True), spam=True)
        self.assertTrue((before != self.MODEL.cells).any())
        undo(self.MODEL, sample(99, spam=True), steps)
        np.testing.assert_array_equal(before, self.MODEL.cells)

    @settings(max_examples=15, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), min_size=1, max_size=12),
        st.integers(0, 9),
    )
    def test_forgotten_in_any_order_nothing_is_left(self, history: list[tuple[int, bool, bool]], order: int) -> None:
        learned = [
            (what, learn(self.MODEL, what, spam=label))
            for number, kind, label in history
            for what in [sample(number, spam=kind)]
        ]
        random.Random(order).shuffle(learned)
        for what, taught in learned:
            undo(self.MODEL, what, taught)
        self.assertFalse(self.MODEL.cells.any())

    def test_the_others_steps_stay(self) -> None:
        samples = [sample(n, spam=n % 2 == 0) for n in range(6)]
        steps = [learn(self.MODEL, what, spam=n % 2 == 0) for n, what in enumerate(samples)]
        undo(self.MODEL, samples[2], steps[2])
        left = self.MODEL.cells.copy()
        for n in (0, 1, 3, 4, 5):
            undo(self.MODEL, samples[n], steps[n])
        self.assertTrue(left.any())
        self.assertFalse(self.MODEL.cells.any())
