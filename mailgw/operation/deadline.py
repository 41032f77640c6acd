"""One timer for all the waits of a connection."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls `expired` with what was waited for. Moving the deadline away costs no timer: the old one looks again."""

    def __init__(self, clock: IReactorTime, expired: Callable[[str], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._call: IDelayedCall | None = None
        self._at = 0.0
        self._waits_for = ""

    def set(self, seconds: float, waits_for: str) -> None:
        """Wait that long, in place of any wait before. `waits_for` is for people: `the reply to MAIL`."""
        self._at = self._clock.seconds() + seconds
        self._waits_for = waits_for
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._look)
        elif self._call.getTime() > self._at:
            self._call.reset(seconds)

    def clear(self) -> None:
        """Wait for nothing; the timer runs on for the next wait."""
        self._waits_for = ""

    def stop(self) -> None:
        """Wait for nothing, and leave no timer."""
        self._waits_for = ""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        if not self._waits_for:
            return
        left = self._at - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._look)
            return
        waits_for, self._waits_for = self._waits_for, ""
        self._expired(waits_for)
