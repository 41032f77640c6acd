"""The ledger: each message that was learned, by its digest, with what it taught and the score that it had before.

It also is the memory of `learning`: the features of some messages, hashes only, to be rehearsed.
"""

from __future__ import annotations

import sqlite3
import struct
from typing import Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from mailgw.classifier.calibration import Calibration, fit
from mailgw.classifier.features import Slots
from mailgw.classifier.learning import Features
from mailgw.classifier.model import VIEWS, Taught

Source = Literal["command", "moved", "verdict"]
"""Who said what it is: `mailgw learn`, a user who moved it, or a verdict on strong evidence of other kinds."""

MIGRATIONS = (
    "CREATE TABLE learned (key BLOB PRIMARY KEY, spam INTEGER NOT NULL, taught BLOB NOT NULL, logit REAL,"
    " time REAL NOT NULL, source TEXT NOT NULL, reference TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX learned_last ON learned (spam, time) WHERE logit IS NOT NULL;"
    "CREATE INDEX learned_reference ON learned (reference) WHERE reference != '';"
    "CREATE TABLE kept (id INTEGER PRIMARY KEY, key BLOB NOT NULL, sizes BLOB NOT NULL, slots BLOB NOT NULL);"
    "CREATE INDEX kept_key ON kept (key);"
    "CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)

RECENT = 1000
"""Messages of a kind, the last ones learned, that calibration and the count of errors rest on."""
_TAUGHT = struct.Struct(f"<{2 * len(VIEWS)}i")
_SIZES = struct.Struct(f"<{len(VIEWS)}I")
# Ids in `kept`: places of ham from 0 on, places of spam from here on.
_SPAM_PLACES = 1 << 20


@frozen
class Learned:
    """`logit` is the score from before it was learned; None where it says nothing (`learning.LONG_RUN`)."""

    spam: bool
    taught: Taught
    logit: float | None
    time: float
    source: Source
    reference: str = ""


class Ledger:
    """The tables. Its caller begins and ends transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def find(self, key: bytes) -> Learned | None:
        row = self._connection.execute(
            "SELECT spam, taught, logit, time, source, reference FROM learned WHERE key = ?", (key,)
        ).fetchone()
        return Learned(bool(row[0]), _unpack(row[1]), *row[2:]) if row else None

    def label(self, reference: str) -> bool | None:
        row = self._connection.execute(
            "SELECT spam FROM learned WHERE reference = ? AND reference != '' ORDER BY time DESC", (reference,)
        ).fetchone()
        return bool(row[0]) if row else None

    def add(self, key: bytes, learned: Learned) -> None:
        self._connection.execute(
            "INSERT INTO learned (key, spam, taught, logit, time, source, reference) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                learned.spam,
                _pack(learned.taught),
                learned.logit,
                learned.time,
                learned.source,
                learned.reference,
            ),
        )

    def remove(self, key: bytes) -> None:
        self._connection.execute("DELETE FROM learned WHERE key = ?", (key,))
        self._connection.execute("DELETE FROM kept WHERE key = ?", (key,))

    def keep(self, spam: bool, place: int, key: bytes, features: Features) -> None:
        """`learning.Memory`."""
        sizes = _SIZES.pack(*[len(slots) for slots in features])
        slots = b"".join([slots.astype("<u4").tobytes() for slots in features])
        self._connection.execute(
            "INSERT OR REPLACE INTO kept (id, key, sizes, slots) VALUES (?, ?, ?, ?)",
            (_SPAM_PLACES * spam + place, key, sizes, slots),
        )

    def recall(self, spam: bool, place: int) -> tuple[bytes, Features] | None:
        """`learning.Memory`."""
        first = _SPAM_PLACES * spam
        for start in (first + place, first):
            row = self._connection.execute(
                "SELECT key, sizes, slots FROM kept WHERE id >= ? AND id < ? ORDER BY id LIMIT 1",
                (start, first + _SPAM_PLACES),
            ).fetchone()
            if row:
                return row[0], _features(row[1], row[2])
        return None

    def rehearsed(self, key: bytes, taught: Taught) -> None:
        """`learning.Memory`."""
        known = self.find(key)
        if known is not None:
            self._connection.execute("UPDATE learned SET taught = ? WHERE key = ?", (_pack(known.taught + taught), key))

    def generation(self) -> int:
        return int(self.mark("generation") or 0)

    def set_generation(self, generation: int) -> None:
        self.set_mark("generation", str(generation))

    def mark(self, name: str) -> str:
        row = self._connection.execute("SELECT value FROM mark WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def set_mark(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO mark (name, value) VALUES (?, ?)", (name, value))

    def span(self) -> tuple[float, float]:
        """Give when the first and the last message were learned."""
        first, last = self._connection.execute("SELECT min(time), max(time) FROM learned").fetchone()
        return first or 0.0, last or 0.0

    def counts(self) -> dict[tuple[Source, bool], int]:
        rows = self._connection.execute("SELECT source, spam, count(*) FROM learned GROUP BY source, spam")
        return {(source, bool(spam)): count for source, spam, count in rows}

    def calibration(self) -> Calibration:
        """Fit it to the messages learned last."""
        return fit(self._logits(False), self._logits(True))

    def errors(self, calibration: Calibration) -> dict[bool, tuple[int, int]]:
        """Give for each kind how many of the last were on the wrong side before they were learned, and of how many."""
        found = {}
        for spam in (True, False):
            logits = self._logits(spam)
            wrong = (calibration.slope * logits + calibration.offset > 0) != spam
            found[spam] = (int(wrong.sum()), len(logits))
        return found

    def _logits(self, spam: bool) -> NDArray[np.float64]:
        rows = self._connection.execute(
            "SELECT logit FROM learned WHERE spam = ? AND logit IS NOT NULL ORDER BY time DESC LIMIT ?", (spam, RECENT)
        )
        return np.array([logit for (logit,) in rows], np.float64)


def _pack(taught: Taught) -> bytes:
    return _TAUGHT.pack(*taught.steps, *taught.squares)


def _unpack(data: bytes) -> Taught:
    numbers = _TAUGHT.unpack(data)
    return Taught(numbers[: len(VIEWS)], numbers[len(VIEWS) :])


def _features(sizes: bytes, slots: bytes) -> Features:
    all_slots: Slots = np.frombuffer(slots, "<u4")
    return tuple(np.split(all_slots, np.cumsum(_SIZES.unpack(sizes))[:-1]))
