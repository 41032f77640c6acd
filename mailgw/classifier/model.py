"""The model: weights of three views, scored together, stepping towards labels."""

from __future__ import annotations

from math import exp, sqrt
from operator import add

import numpy as np
from attrs import define, frozen
from numpy.typing import NDArray

from mailgw.classifier import features
from mailgw.classifier.features import Slots
from mailgw.classifier.sample import Sample

VIEWS = ("route", "letter", "words")

Cells = NDArray[np.int64]
"""A row of cells for each view; a cell is two int32: the sum of steps, and the sum of their squares."""

UNIT = 4096
"""A step is an error (-1.0 to 1.0) in this many parts."""
_SMALLEST = UNIT // 128
"""Smaller steps are not made: what is known that well teaches nothing, and most messages of a stream are."""
# The rate in front of z / sqrt(n): 0.02 for a message of 1,500 features, as measured over several corpora, both ways
# and from each part to the others: from 0.015 to 0.03 the results differ by less than those between two orders.
# Scores are divided by the features' root, or long messages would shout.
_RATE = 0.02 * sqrt(1500)
_SCALE = _RATE / sqrt(UNIT)
_EPSILON = np.float32(0.001 * UNIT)
_FEWEST = 50
"""Features below which a message's score is not raised any more: a few words are no firm ground."""


@frozen
class Reading:
    """A sample read by the model: its slots and what their cells held, and the log-odds of each view.

    `logit` is their mean: above 0 for spam.
    """

    slots: tuple[Slots, ...]
    cells: tuple[Cells, ...]
    logits: tuple[float, ...]

    @property
    def logit(self) -> float:
        return sum(self.logits) / len(self.logits)


@frozen
class Taught:
    """What one message added to its cells, for each view in UNITs: its steps, and their squares."""

    steps: tuple[int, ...]
    squares: tuple[int, ...]

    def __add__(self, other: Taught) -> Taught:
        return Taught(
            tuple(map(add, self.steps, other.steps)),
            tuple(map(add, self.squares, other.squares)),
        )


@define
class Model:
    """`cells` may be a file's, mapped: only `teach` and `undo` write. `spam` and `ham` count what was learned."""

    cells: Cells
    spam: int = 0
    ham: int = 0

    @classmethod
    def empty(cls) -> Model:
        """Make one that has learned nothing, in memory."""
        return cls(np.zeros((len(VIEWS), features.SLOTS), np.int64))

    def read(self, sample: Sample) -> Reading:
        """Score a sample."""
        return self.read_slots(features.all_slots(sample))

    def read_slots(self, slots: tuple[Slots, ...]) -> Reading:
        """Score a sample by its features."""
        cells = tuple([row.take(of_view) for row, of_view in zip(self.cells, slots, strict=True)])
        return Reading(slots, cells, tuple([_logit(found) for found in cells]))

    def teach(self, reading: Reading, *, spam: bool) -> Taught:
        """Step towards a label, from a reading of just now: nothing else may have been taught since."""
        steps = tuple([_step(spam - _probability(logit)) for logit in reading.logits])
        squares = tuple([_square(step) for step in steps])
        for n, step in enumerate(steps):
            if step:
                cells = reading.cells[n]
                _add(cells, step, squares[n])
                self.cells[n][reading.slots[n]] = cells
        return Taught(steps, squares)

    def undo(self, slots: tuple[Slots, ...], taught: Taught) -> None:
        """Take away what a message with these features added, to the last bit, whatever was taught since."""
        for row, of_view, step, square in zip(self.cells, slots, taught.steps, taught.squares, strict=True):
            if step or square:
                cells = row.take(of_view)
                _add(cells, -step, -square)
                row[of_view] = cells

    def count(self, spam: bool, change: int) -> None:
        """Count a message learned (1) or forgotten (-1)."""
        if spam:
            self.spam += change
        else:
            self.ham += change

    def word_weights(self, slots: Slots) -> NDArray[np.float32]:
        """Give the weights of slots of the words' view."""
        return _weights(self.cells[VIEWS.index("words")].take(slots))


def _weights(cells: Cells) -> NDArray[np.float32]:
    """z / sqrt(n), n a little above 0."""
    pairs = cells.view(np.int32).astype(np.float32)
    squares = pairs[1::2]
    squares += _EPSILON
    np.sqrt(squares, out=squares)
    weights: NDArray[np.float32] = pairs[0::2] / squares
    return weights


def _logit(cells: Cells) -> float:
    if not len(cells):
        return 0.0
    return _SCALE * float(_weights(cells).sum()) / sqrt(max(len(cells), _FEWEST))


def _probability(logit: float) -> float:
    return 1 / (1 + exp(-max(min(logit, 30.0), -30.0)))


def _step(error: float) -> int:
    step = round(UNIT * error)
    return step if abs(step) >= _SMALLEST else 0


def _square(step: int) -> int:
    """A step's square, in UNITs too: an int32 then has room for half a million mistakes over one feature."""
    return (step * step + UNIT // 2) // UNIT


def _add(cells: Cells, step: int, square: int) -> None:
    """Add to both counters, in place."""
    pairs = cells.view(np.int32)
    pairs[0::2] += step
    pairs[1::2] += square
