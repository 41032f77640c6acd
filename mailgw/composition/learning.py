"""How the classifier learns while the gateway runs: from what users move, and from verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from mailgw.classifier.folders import Folders
from mailgw.classifier.training import Training
from mailgw.composition.etc import Etc
from mailgw.filters.automatic import Automatic
from mailgw.filters.classifier import Classifier, ClassifierSettings, directory_of
from mailgw.filters.sampling import read_sample
from mailgw.operation.service import Part
from mailgw.operation.threads import Pool
from mailgw.reception.acceptance import Observer


@frozen
class Learning:
    """What is told of each verdict, and the parts to start."""

    observers: Sequence[Observer] = ()
    parts: Sequence[Part] = ()


def make_learning(etc: Etc, reactor: Any) -> Learning:
    """Put it together; nothing where the classifier is off, or learns from nothing."""
    section = etc.catalogue.sections[Classifier.name]
    assert isinstance(section, ClassifierSettings)
    settings = etc.settings
    maildir = any(domain.deliver == "maildir" for domain in settings.domains.values())
    # Without our X-Spam-Flag nobody knows where a message was put.
    moves = section.learn_from_moves and maildir and settings.trace.spam_fields
    if not section.enabled or not (moves or section.learn_from_verdicts):
        return Learning()
    folders = settings.maildir
    threads = Pool(reactor, "learning", 1)
    training = Training(
        directory_of(settings.state_directory),
        Folders.of(folders.root, folders.inbox, folders.spam, settings.hostname) if moves else None,
        read_sample,
        threads,
        reactor,
        section.interval,
    )
    return Learning(
        (Automatic(section, training).observe,) if section.learn_from_verdicts else (),
        (Part("learning thread", threads.start, threads.stop), Part("learning", training.start, training.stop)),
    )
