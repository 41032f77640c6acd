"""How often something may be: so many in a period, spread over it."""

from __future__ import annotations

# Of what may be in a period, the share that may come at once after a rest.
_BURST = 0.1
# A whole one, but for what sums of fractions lose.
_ONE = 1.0 - 1e-6


class Pace:
    """A token bucket: `number` in `period` seconds. Times are those of a clock that may be set back."""

    def __init__(self, number: int, period: float) -> None:
        self._interval = period / number
        self._burst = max(1.0, number * _BURST)
        self._tokens = self._burst
        self._since: float | None = None

    def wait(self, now: float) -> float:
        """Give the seconds until the next one may be: 0.0 when it may be now."""
        self._fill(now)
        return 0.0 if self._tokens >= _ONE else (1.0 - self._tokens) * self._interval

    def take(self, now: float) -> None:
        """One is now."""
        self._fill(now)
        self._tokens -= 1.0

    def _fill(self, now: float) -> None:
        if self._since is not None and now > self._since:
            self._tokens = min(self._burst, self._tokens + (now - self._since) / self._interval)
        self._since = now
