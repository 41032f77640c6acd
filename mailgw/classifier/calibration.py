"""Calibration: from the model's log-odds to the probability that a message is spam.

Online learning drives scores apart, so its log-odds are no probabilities. They are mapped by a logistic curve (Platt
1999, with the targets of Lin, Lin and Weng 2007), fitted to the scores that messages had before they were learned.
Both classes weigh the same: 50 % means that the message is as like the spam as the ham that was learned, however much
there was of each.
"""

from __future__ import annotations

from math import exp

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

_STEPS = 50
# A curve steeper than the scores themselves would claim more than is known; one that falls would turn them round.
_FLATTEST, _STEEPEST = 0.1, 3.0
_SHRINK = 0.01


_FEWEST = 10
"""Scores of each kind below which nothing is fitted."""


@frozen
class Calibration:
    """As long as nothing is measured it claims little: two fifths of what the scores say."""

    slope: float = 0.4
    offset: float = 0.0

    def logit(self, score: float) -> float:
        """Give the calibrated log-odds of spam."""
        return self.slope * score + self.offset

    def probability(self, score: float) -> float:
        return 1 / (1 + exp(-max(min(self.logit(score), 30.0), -30.0)))


def fit(ham: NDArray[np.float64], spam: NDArray[np.float64]) -> Calibration:
    """Fit the curve to the scores of ham and of spam; with too few of a kind, nothing is fitted."""
    if min(len(ham), len(spam)) < _FEWEST:
        return Calibration()
    scores = np.concatenate((ham, spam))
    targets = np.concatenate((np.full(len(ham), 1 / (len(ham) + 2)), np.full(len(spam), 1 - 1 / (len(spam) + 2))))
    weights = np.concatenate((np.full(len(ham), 0.5 / len(ham)), np.full(len(spam), 0.5 / len(spam))))
    slope, offset = 1.0, 0.0
    for _ in range(_STEPS):  # Newton; the loss is convex, and _SHRINK towards 1 and 0 keeps it from running away
        probabilities = 1 / (1 + np.exp(-np.clip(slope * scores + offset, -30, 30)))
        errors = weights * (probabilities - targets)
        curvature = weights * probabilities * (1 - probabilities)
        gradient = (errors @ scores + _SHRINK * (slope - 1), errors.sum() + _SHRINK * offset)
        a, b, c = curvature @ scores**2 + _SHRINK, curvature @ scores, curvature.sum() + _SHRINK
        determinant = a * c - b * b
        change = ((c * gradient[0] - b * gradient[1]) / determinant, (a * gradient[1] - b * gradient[0]) / determinant)
        slope, offset = slope - change[0], offset - change[1]
        slope = min(max(slope, _FLATTEST), _STEEPEST)
        if abs(change[0]) + abs(change[1]) < 1e-6:
            break
    return Calibration(float(slope), float(offset))
