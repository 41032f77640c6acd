"""The judgement of another spam filter, whatever its protocol."""

from __future__ import annotations

import math

from attrs import field, frozen

from mailgw.engines.errors import Broken

_SHOWN = 6


@frozen
class Judgement:
    """`score` and its own `threshold` of spam; `symbols` with what each added to the score, in any order."""

    score: float
    threshold: float = 0.0
    action: str = ""
    message: str = ""
    """What it would tell the client."""
    symbols: tuple[tuple[str, float], ...] = field(default=())
    skipped: bool = False
    """It did not look, and has nothing to say."""

    def strongest(self) -> str:
        """Name the symbols that weighed most, for people: `BAYES_SPAM 5.10, R_SPF_FAIL 1.00 and 7 more`."""
        weighing = sorted(self.symbols, key=lambda item: (-abs(item[1]), item[0]))
        shown = [f"{name} {points:g}" for name, points in weighing[:_SHOWN] if points]
        more = len(weighing) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more and shown else "")


def finite(value: object) -> float:
    """Take a number of an answer. Raises Broken for what is none."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise Broken(f"a score in its answer is no number: {str(value)[:40]!r}")
