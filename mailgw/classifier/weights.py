"""The file that holds a model: a line of facts, then the cells. Processes map it; a new one takes its place at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen

from mailgw.classifier import features
from mailgw.classifier.calibration import Calibration
from mailgw.classifier.model import VIEWS, Model

_FORMAT = "mailgw classifier"
_HEADER = 4096  # a page, so that the cells begin at one
_SHAPE = (len(VIEWS), features.SLOTS)
_SIZE = _HEADER + 8 * len(VIEWS) * features.SLOTS


class ModelUnusable(Exception):
    """The files of the classifier cannot be used as they are; the text names them and says what to do."""


@frozen
class Trained:
    """A model as it stood at one moment. `generation` counts the commits. Times are seconds of the wall clock."""

    model: Model
    calibration: Calibration
    generation: int
    since: float
    """When its first message was learned; 0.0 when there is none."""
    until: float
    """When its last one was."""


def untrained() -> Trained:
    """Give one that has learned nothing."""
    return Trained(Model.empty(), Calibration(), 0, 0.0, 0.0)


def write(path: Path, trained: Trained) -> None:
    """Write the file, durably. Raises OSError."""
    model = trained.model
    facts = {
        "format": _FORMAT,
        "features": features.VERSION,
        "views": VIEWS,
        "bits": features.BITS,
        "generation": trained.generation,
        "spam": model.spam,
        "ham": model.ham,
        "since": trained.since,
        "until": trained.until,
        "calibration": asdict(trained.calibration),
    }
    with open(path, "wb") as file:
        file.write(json.dumps(facts).encode().ljust(_HEADER - 1) + b"\n")
        model.cells.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, *, private: bool = False) -> Trained:
    """Map the file. With `private` its cells can be written to, which nobody else sees and the file does not get.

    Raises ModelUnusable, OSError.
    """
    with open(path, "rb") as file:
        facts = _facts(path, file.read(_HEADER), os.fstat(file.fileno()).st_size)
        cells = np.memmap(file, np.int64, "c" if private else "r", _HEADER, _SHAPE)
    return Trained(
        Model(np.asarray(cells), facts["spam"], facts["ham"]),
        Calibration(**facts["calibration"]),
        facts["generation"],
        facts["since"],
        facts["until"],
    )


def _facts(path: Path, header: bytes, size: int) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(header)
        if facts["format"] != _FORMAT:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ModelUnusable(f"{path} is no file of the classifier's: move it away, and learn anew") from None
    if (facts["features"], tuple(facts["views"]), facts["bits"]) != (features.VERSION, VIEWS, features.BITS):
        raise ModelUnusable(
            f"{path} was learned by a mailgw that reads other features of messages: move {path.parent} away, and learn"
            " anew"
        )
    if size != _SIZE:
        raise ModelUnusable(f"{path} has {size} octets instead of {_SIZE}: bring it back from a backup, or learn anew")
    return facts


class Reader:
    """Gives the newest model to those who judge, without asking the disk for each message."""

    def __init__(self, path: Path, interval: float = 1.0) -> None:
        """`interval` is how often it looks for a new file, in seconds."""
        self._path = path
        self._interval = interval
        self._looked: float | None = None
        self._identity: tuple[int, int, int] | None = None
        self._trained: Trained | None = None

    def current(self, now: float) -> Trained | None:
        """Give it; None before anything was learned. `now` is any clock's. Raises ModelUnusable, OSError."""
        if self._looked is None or not 0 <= now - self._looked < self._interval:
            self._looked = now
            self._look()
        return self._trained

    def _look(self) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._identity = self._trained = None
            return
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if identity != self._identity:
            self._trained = None
            self._trained = read(self._path)
            self._identity = identity
