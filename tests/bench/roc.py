"""What is said of a spam filter's scores: the area above the ROC curve, errors, and the curve as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]


@frozen
class Figures:
    """Everything in percent but the counts."""

    roca: float
    """1-ROCA: how often a spam chosen at random scores below a ham chosen at random; a tie counts half."""
    ham: int
    spam: int
    ham_misclassified: int
    spam_misclassified: int
    spam_missed: float
    """Of all spam, where the threshold lets 0.1 % of ham be misclassified."""


def figures(scores: Scores, spam: Labels, threshold: float = 0.0) -> Figures:
    """Give the figures; spam is what scores above the threshold. Both classes have to be there."""
    hams, spams = np.sort(scores[~spam]), np.sort(scores[spam])
    lower = np.searchsorted(hams, spams, "left")
    upper = np.searchsorted(hams, spams, "right")
    above = (len(hams) - upper + (upper - lower) / 2).sum() / (len(hams) * len(spams))
    return Figures(
        100 * float(above),
        len(hams),
        len(spams),
        int((hams > threshold).sum()),
        int((spams <= threshold).sum()),
        100 * _missed(hams, spams, 0.001),
    )


def _missed(hams: Scores, spams: Scores, most: float) -> float:
    """Give the share of spam at or below the lowest threshold that misclassifies at most that share of ham."""
    threshold = hams[len(hams) - 1 - int(len(hams) * most)]
    return float((spams <= threshold).mean())


def curve(scores: Scores, spam: Labels) -> tuple[Scores, Scores]:
    """Give the shares of ham misclassified and of spam missed, at every threshold from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    missed = 1 - np.cumsum(spam[order])[ends] / spam.sum()
    misclassified = np.cumsum(~spam[order])[ends] / (~spam).sum()
    return misclassified, missed


def draw(curves: Mapping[str, tuple[Scores, Labels]], title: str, path: Path) -> None:
    """Draw the curves, on logarithmic axes as TREC's spam track did: a perfect filter is below and left of it all."""
    from matplotlib.figure import Figure  # takes half a second, and not every machine has it

    figure: Any = Figure(figsize=(7.5, 6), layout="constrained")
    axes = figure.add_subplot()
    lowest = 100.0
    for name, (scores, spam) in curves.items():
        misclassified, missed = curve(scores, spam)
        # What is 0 has no place on the axis: half a message is shown.
        x = 100 * np.maximum(misclassified, 0.5 / (~spam).sum())
        y = 100 * np.maximum(missed, 0.5 / spam.sum())
        lowest = min(lowest, x.min(), y.min())
        roca = figures(scores, spam).roca
        axes.plot(x, y, label=f"{name}: 1-ROCA {roca:.4f} %", drawstyle="steps-post")
    axes.axvline(0.1, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", xlim=(lowest, 100), ylim=(lowest, 100), title=title)
    axes.set(xlabel="ham misclassified, %", ylabel="spam missed, %")
    axes.grid(which="both", linewidth=0.3)
    axes.legend(loc="upper right")
    figure.savefig(path, format="png", dpi=110)
