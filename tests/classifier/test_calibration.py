"""Calibration: scores become probabilities."""

from __future__ import annotations

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier.calibration import Calibration, fit


def scores(seed: int, slope: float, offset: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Ham and spam whose true log-odds are slope * score + offset, as many of each kind as come."""
    chance = np.random.default_rng(seed)
    drawn = chance.normal(0, 4, count)
    spam = chance.random(count) < 1 / (1 + np.exp(-(slope * drawn + offset)))
    return drawn[~spam], drawn[spam]


class CalibrationTests(SynchronousTestCase):
    def test_the_curve_is_found_again(self) -> None:
        for slope in (0.3, 1.0, 2.0):
            found = fit(*scores(1, slope, 0.0, 4000))
            self.assertLess(abs(found.slope / slope - 1), 0.15)
            self.assertLess(abs(found.offset), 0.2)

    def test_of_those_said_to_be_ninety_percent_spam_ninety_percent_are(self) -> None:
        found = fit(*scores(2, 0.5, 0.0, 4000))
        ham, spam = scores(3, 0.5, 0.0, 20_000)
        said = [[found.probability(score) for score in kind] for kind in (ham, spam)]
        near = [sum(0.85 < p < 0.95 for p in kind) for kind in said]
        self.assertLess(abs(near[1] / sum(near) - 0.9), 0.03)

    def test_ten_times_as_much_ham_makes_no_message_more_like_ham(self) -> None:
        ham, spam = scores(4, 1.0, 0.0, 4000)
        few = fit(ham, spam[: len(spam) // 10])
        self.assertLess(abs(few.probability(0.0) - 0.5), 0.1)

    def test_a_shift_of_the_scores_is_taken_back(self) -> None:
        ham, spam = scores(5, 1.0, 0.0, 4000)
        shifted = fit(ham + 3, spam + 3)
        self.assertLess(abs(shifted.probability(3.0) - 0.5), 0.05)

    def test_few_messages_make_no_certainty(self) -> None:
        found = fit(np.array([-1.0] * 10), np.array([1.0] * 10))
        self.assertLess(found.probability(1.0), 0.95)
        self.assertEqual(fit(np.array([]), np.array([1.0] * 100)), Calibration())
        self.assertLess(Calibration().probability(3.0), 0.8)

    def test_scores_that_tell_nothing_or_the_contrary_never_turn_round(self) -> None:
        for ham, spam in (([1.0] * 50, [1.0] * 50), ([5.0] * 50, [-5.0] * 50), ([1e3] * 50, [-1e3] * 50)):
            found = fit(np.array(ham), np.array(spam))
            self.assertGreater(found.slope, 0)
            self.assertTrue(np.isfinite(found.offset))
