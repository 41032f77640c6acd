"""The words behind a score, for people."""

from __future__ import annotations

import numpy as np

from mailgw.classifier.features import find_words, single_hashes, to_slots, word_text
from mailgw.classifier.model import Model
from mailgw.classifier.sample import Sample

_LONGEST = 24
_SHORTEST = 3
"""Letters: `a` and `to` explain nothing."""


def strongest(model: Model, sample: Sample, *, spam: bool, count: int = 4) -> tuple[str, ...]:
    """Give the words of a sample that speak most for spam, or for ham; fewer or none where few do."""
    words = find_words(word_text(sample))
    weights = model.word_weights(to_slots(single_hashes(words)))
    if not spam:
        weights = -weights
    found: dict[str, None] = {}
    for place in np.argsort(-weights, kind="stable")[: 8 * count]:
        if weights[place] <= 0 or len(found) == count:
            break
        word = words.octets[words.starts[place] : words.ends[place]].decode("utf-8", "replace").lower()
        if len(word) >= _SHORTEST and word.isprintable():
            found.setdefault(word[:_LONGEST])
    return tuple(found)
