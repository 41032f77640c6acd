"""Learning from verdicts: what strong evidence of other kinds says teaches the classifier."""

from __future__ import annotations

from typing import Protocol

from mailgw.classifier.sample import Sample
from mailgw.filters.anatomy import Anatomy
from mailgw.filters.classifier import Classifier, ClassifierSettings
from mailgw.filters.sampling import sample_of
from mailgw.mail.message import BytesContent
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Verdict


class Pupil(Protocol):
    """`classifier.training.Training`."""

    def offer(self, sample: Sample, *, spam: bool, reference: str) -> None: ...


class Automatic:
    """An observer of verdicts. The classifier's own points do not count, so it never teaches itself."""

    def __init__(self, settings: ClassifierSettings, pupil: Pupil) -> None:
        self._settings = settings
        self._pupil = pupil

    def observe(self, transaction: Transaction, verdict: Verdict) -> None:
        """Offer the message where the others' score reaches one of the two thresholds."""
        # What our own users submit is no mail of the kind that is judged; what is deferred comes again.
        if transaction.client.identity or verdict.action in ("defer", "greylist"):
            return
        score = sum(line.points for line in verdict.lines if line.source != Classifier.name)
        if self._settings.verdict_ham < score < self._settings.verdict_spam:
            return
        message, anatomy = transaction.message, transaction.work.get(Anatomy)
        # What lies in a file is left out: reading it would block.
        if message is None or not isinstance(anatomy, Anatomy) or not isinstance(message.content, BytesContent):
            return
        spam = score >= self._settings.verdict_spam
        self._pupil.offer(sample_of(message, anatomy), spam=spam, reference=transaction.id)
