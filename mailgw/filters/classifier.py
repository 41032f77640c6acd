"""Classifier: how like the spam and the ham of here a message is. See `mailgw/classifier` for how it learns."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import ClassVar

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.classifier.sample import Sample
from mailgw.classifier.store import weights_path
from mailgw.classifier.weights import ModelUnusable, Reader, Trained
from mailgw.classifier.words import strongest
from mailgw.filters.anatomy import Anatomies, Anatomy
from mailgw.filters.base import FilterSettings
from mailgw.filters.sampling import sample_of
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction

SPAM = "CLASSIFIER_SPAM"
HAM = "CLASSIFIER_HAM"
# Points add up as log-odds do, so strength grows with them: full where it is sure by 99 %.
_SURE = log(0.99 / 0.01)
# 33 to 67 %: it does not know.
_LEAST = log(2) / _SURE


@frozen
class ClassifierSettings(FilterSettings):
    """[filters.classifier]"""

    minimum: int = field(
        default=200,
        metadata={"doc": "Messages of spam, and as many of ham, that it must have learned before it says anything."},
    )
    learn_from_moves: bool = field(
        default=True,
        metadata={
            "doc": "Learn what users move between INBOX and the spam folder. Needs [maildir] and [trace] spam_fields."
        },
    )
    learn_from_verdicts: bool = field(
        default=True,
        metadata={
            "doc": "Learn what the other evidence is sure of, at most twice as much of one kind as of the other."
        },
    )
    verdict_spam: float = field(
        default=12.0,
        metadata={"doc": "The score, without the classifier's part, from which a message is learned as spam."},
    )
    verdict_ham: float = field(
        default=-4.0,
        metadata={
            "doc": "The same as ham, from there down: a known correspondent and something more.",
            "minimum": -1000,
        },
    )
    interval: float = field(default=600.0, metadata={"doc": "Seconds between two rounds of learning."})


class Classifier:
    """States CLASSIFIER_SPAM or CLASSIFIER_HAM by the calibrated probability; nothing where it does not know.

    Nothing is said of mail that our own users submit: it is no mail of the kind that was learned.
    """

    log: ClassVar[Logger] = Logger()
    name: ClassVar[str] = "classifier"
    symbols: ClassVar[Mapping[str, float]] = {SPAM: 4.0, HAM: -2.5}

    def __init__(
        self, settings: ClassifierSettings, anatomies: Anatomies, directory: Path, clock: IReactorTime
    ) -> None:
        """`directory` is where the classifier keeps what it learned (`directory_of`)."""
        self.settings = settings
        self._anatomies = anatomies
        self._reader = Reader(weights_path(directory))
        self._clock = clock
        self._trouble = ""

    async def check(self, transaction: Transaction) -> tuple[Evidence, ...]:
        message = transaction.message
        if message is None or transaction.client.identity:
            return ()
        trained = self._trained()
        if trained is None or min(trained.model.spam, trained.model.ham) < self.settings.minimum:
            return ()
        evidence = await self._anatomies.run(transaction, _judge, message, trained)
        return (evidence,) if evidence else ()

    def _trained(self) -> Trained | None:
        try:
            return self._reader.current(self._clock.seconds())
        except (ModelUnusable, OSError) as error:
            if str(error) != self._trouble:  # said once, not for each message
                self._trouble = str(error)
                self.log.warn("the classifier says nothing: {reason}", event="classifier_unusable", reason=str(error))
            return None


def directory_of(state_directory: str) -> Path:
    """Give the folder of what the classifier learned."""
    return Path(state_directory) / "classifier"


def _judge(anatomy: Anatomy, message: Message, trained: Trained) -> Evidence | None:
    sample = sample_of(message, anatomy)
    return describe(trained, sample, trained.model.read(sample).logit)


def describe(trained: Trained, sample: Sample, score: float) -> Evidence | None:
    """Make evidence of a score, with the words behind it; None where it is no opinion."""
    logit = trained.calibration.logit(score)
    strength = min(abs(logit) / _SURE, 1.0)
    if strength < _LEAST:
        return None
    probability = min(max(trained.calibration.probability(score), 0.0005), 0.9995)
    learned = trained.model.spam + trained.model.ham
    detail = f"{100 * probability:.1f} % spam after {learned:,} messages"
    words = strongest(trained.model, sample, spam=logit > 0)
    if words:
        detail += f", by words such as {', '.join(words)}"
    return Evidence(SPAM if logit > 0 else HAM, detail, strength)
