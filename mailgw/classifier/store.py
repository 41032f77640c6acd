"""What was learned, kept: the weights' file and the ledger of messages, always of one moment.

One learner at a time works on a private copy of the weights, within one transaction of the ledger. `commit` writes the
new weights beside the old, commits the ledger with their generation, then renames: a process that is killed leaves
either the moment before or that after; where the rename is missing, the next learner does it. Readers only ever see a
whole file. A power cut loses nothing that was committed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

from attrs import frozen

from mailgw.classifier import features, weights
from mailgw.classifier.learning import LONG_RUN, Learning
from mailgw.classifier.ledger import MIGRATIONS, Learned, Ledger, Source
from mailgw.classifier.sample import Sample
from mailgw.classifier.weights import ModelUnusable, Trained
from mailgw.state.database import StateUnusable, connect

Outcome = Literal["learned", "known", "corrected"]

_WEIGHTS, _NEW, _LEDGER, _LOCK = "weights", "weights.new", "learned.sqlite", "lock"


class Busy(Exception):
    """Another process is learning."""


def weights_path(directory: Path) -> Path:
    """Give the file that `weights.Reader` reads."""
    return directory / _WEIGHTS


class Learner:
    """Learns and forgets. A context manager: what was not committed at its end is not kept."""

    def __init__(self, directory: Path) -> None:
        """`directory` and its files are made when they are not there. Raises Busy, ModelUnusable, OSError."""
        self._directory = directory
        _make(directory)
        with contextlib.ExitStack() as opened:
            opened.enter_context(_locked(directory / _LOCK))
            connection = opened.enter_context(contextlib.closing(_connect(directory / _LEDGER)))
            self._ledger = Ledger(connection)
            self._trained = self._restore()
            self._ledger.begin()
            self._opened = opened.pop_all()
        self._model = self._trained.model
        lead, walked = self._ledger.mark("lead"), self._ledger.mark("walked")
        self._learning = Learning(self._model, self._ledger, int(lead or 0), int(walked or 0))
        self._changed = 0

    def __enter__(self) -> Learner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.rollback()
        self._opened.close()

    @property
    def changed(self) -> int:
        """Messages learned or forgotten since the last commit."""
        return self._changed

    @property
    def spam(self) -> int:
        return self._model.spam

    @property
    def ham(self) -> int:
        return self._model.ham

    def learn(self, sample: Sample, *, spam: bool, source: Source, now: float, reference: str = "") -> Outcome:
        """Learn a message, once. One that was learned as the other kind is forgotten first; but what a person said is
        not changed by what a verdict says. `reference` is its transaction's id, if it has one."""
        key = sample.key
        known = self._ledger.find(key)
        if known is not None:
            if known.spam == spam or source == "verdict":
                return "known"
            self._forget(key, sample, known)
        reading = self._model.read(sample)
        taught = self._learning.learn(key, reading, spam=spam)
        logit = reading.logit if self._learning.run <= LONG_RUN else None
        self._ledger.add(key, Learned(spam, taught, logit, now, source, reference))
        self._changed += 1
        return "learned" if known is None else "corrected"

    def forget(self, sample: Sample) -> bool:
        """Take away what the message taught, to the last bit. False where it was not learned."""
        key = sample.key
        known = self._ledger.find(key)
        if known is None:
            return False
        self._forget(key, sample, known)
        self._changed += 1
        return True

    def label(self, reference: str) -> bool | None:
        """Say as what the message of a transaction was learned; None: it was not."""
        return self._ledger.label(reference)

    def mark(self, name: str) -> str:
        """Give a note of the ledger's, or nothing."""
        return self._ledger.mark(name)

    def set_mark(self, name: str, value: str) -> None:
        """Keep a note, from the next commit on."""
        self._ledger.set_mark(name, value)

    def commit(self) -> None:
        """Make what was learned durable, and show it to the readers. Raises OSError, ModelUnusable."""
        if self._changed:
            since, until = self._ledger.span()
            generation = self._trained.generation + 1
            trained = Trained(self._model, self._ledger.calibration(), generation, since, until)
            try:
                weights.write(self._directory / _NEW, trained)
                _give(self._directory / _NEW)
            except OSError:
                with contextlib.suppress(OSError):
                    (self._directory / _NEW).unlink()  # on a full disk it would be in the way
                raise
            self._ledger.set_generation(generation)
            self._ledger.set_mark("lead", str(self._learning.lead))
            self._ledger.set_mark("walked", str(self._learning.walked))
            self._ledger.commit()
            _rename(self._directory)
            self._trained = trained
            self._changed = 0
        else:
            self._ledger.commit()
        self._ledger.begin()

    def _forget(self, key: bytes, sample: Sample, known: Learned) -> None:
        self._model.undo(features.all_slots(sample), known.taught)
        self._model.count(known.spam, -1)
        self._ledger.remove(key)

    def _restore(self) -> Trained:
        """Give the weights of the ledger's generation."""
        path, new = self._directory / _WEIGHTS, self._directory / _NEW
        generation = self._ledger.generation()
        trained = weights.read(path, private=True) if path.exists() else weights.untrained()
        if trained.generation == generation - 1 and new.exists():  # killed before the rename
            _rename(self._directory)
            trained = weights.read(path, private=True)
        if trained.generation != generation:
            raise ModelUnusable(
                f"{path} (generation {trained.generation}) and {self._directory / _LEDGER} (generation {generation}) do"
                " not belong together: bring both back from one backup, or move both away and learn anew"
            )
        with contextlib.suppress(FileNotFoundError):
            new.unlink()  # of a commit that never was
        return trained


@frozen
class Status:
    """What `mailgw learn --status` shows. `counts` are messages by source and kind (True: spam)."""

    trained: Trained | None
    counts: dict[tuple[Source, bool], int]
    errors: dict[bool, tuple[int, int]]
    """By kind: how many of the last learned were on the wrong side before they were learned, and of how many."""


def read_status(directory: Path) -> Status:
    """Look without learning. Raises ModelUnusable, OSError."""
    if not (directory / _LEDGER).exists():
        return Status(None, {}, {})
    with contextlib.closing(_connect(directory / _LEDGER, read_only=True)) as connection:
        ledger = Ledger(connection)
        path = directory / _WEIGHTS
        trained = weights.read(path) if path.exists() else None
        calibration = trained.calibration if trained else weights.untrained().calibration
        return Status(trained, ledger.counts(), ledger.errors(calibration))


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    try:
        connection = connect(path, MIGRATIONS, read_only=read_only)
    except StateUnusable as error:
        raise ModelUnusable(str(error)) from None
    except sqlite3.Error as error:
        raise ModelUnusable(f"cannot open {path}: {error}") from None
    if not read_only:
        # The weights are on the disk before the ledger says so; that has to hold in a power cut too.
        connection.execute("PRAGMA synchronous = FULL")
        _give(path)
    return connection


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _give(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another process is learning ({path} is locked)") from None
        yield
    finally:
        os.close(descriptor)  # gives the lock back


def _make(directory: Path) -> None:
    try:
        directory.mkdir(0o700, parents=True)
    except FileExistsError:
        return
    _give(directory)


def _give(path: Path) -> None:
    """Let what root makes belong to whom the folder above belongs: the gateway has to write there too."""
    if os.geteuid() == 0:
        owner = os.stat(path.parent)
        os.chown(path, owner.st_uid, owner.st_gid)


def _rename(directory: Path) -> None:
    os.rename(directory / _NEW, directory / _WEIGHTS)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
