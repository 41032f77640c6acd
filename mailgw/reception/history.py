"""What hosts did lately: who has sent good mail for a while may send more at once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

GOOD = 10.0
"""The score from which a host's history is good; the eleventh fine message in a row reaches it for a day."""
_MOST = 4 * GOOD
_HALF_LIFE = 7 * 86400.0


class HostHistory(Protocol):
    """Remembers the outcomes of hosts. `host` is what networks.host_of gives."""

    def note(self, host: str, fine: bool) -> None:
        """A message was accepted and was no spam, or something was wrong."""
        ...

    def is_good(self, host: str) -> bool: ...


class MemoryHistory:
    """A history in memory, of the `capacity` hosts that were heard of last; a restart forgets it.

    Each fine message counts one, up to a bound, and fades with a half-life of a week. Something wrong halves the
    score and takes one more: a large sender may have a little spam, while one that sends much never gets there. Only
    hosts with a score above 0 are held, so a flood of bad ones takes no place.
    """

    def __init__(self, clock: IReactorTime, capacity: int = 50_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._scores: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Score and when it was that, by host; who was heard of last stands last."""

    def __len__(self) -> int:
        return len(self._scores)

    def note(self, host: str, fine: bool) -> None:
        score = self._score(host)
        score = min(score + 1.0, _MOST) if fine else score / 2.0 - 1.0
        if score <= 0.0:
            self._scores.pop(host, None)
            return
        self._scores[host] = (score, self._clock.seconds())
        self._scores.move_to_end(host)
        if len(self._scores) > self._capacity:
            self._scores.popitem(last=False)

    def is_good(self, host: str) -> bool:
        return host in self._scores and self._score(host) >= GOOD

    def _score(self, host: str) -> float:
        entry = self._scores.get(host)
        if entry is None:
            return 0.0
        score, when = entry
        age = max(0.0, self._clock.seconds() - when)
        return float(score * 0.5 ** (age / _HALF_LIFE))
