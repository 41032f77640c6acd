"""A circuit breaker: who fails again and again is left alone for a while, then tried with one message."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger


class Breaker:
    """The breaker before one peer.

    Closed: everybody may ask. After `failures` failures in a row it opens: nobody may ask. After `pause` seconds one
    may try (a probe), and the others still may not: a success closes it, a failure lets it be open for another
    `pause`. Each change is one line of the log.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, peer: str, failures: int, pause: float, clock: IReactorTime) -> None:
        """`peer` names it in the log: `clamav at unix:/run/clamd.ctl`."""
        self.peer = peer
        self.cause = ""
        """Of the last failure."""
        self._failures = failures
        self._pause = pause
        self._clock = clock
        self._row = 0
        self._opened: float | None = None
        self._retry_at = 0.0
        self._probe: Attempt | None = None

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    def attempt(self) -> Attempt | None:
        """Give leave to ask, or None. Who has it says how it went: `succeeded`, `failed` or `abandoned`."""
        attempt = Attempt(self)
        if self._opened is None:
            return attempt
        if self._probe is not None or self._clock.seconds() < self._retry_at:
            return None
        self._probe = attempt
        return attempt

    def _ended(self, attempt: Attempt, cause: str | None) -> None:
        """`cause` is why it failed, empty for a success, None where nothing was learned."""
        probe = attempt is self._probe
        if probe:
            self._probe = None
        if cause == "":
            self._close()
        elif cause is not None:
            self.cause = cause
            self._row += 1
            if self._opened is None:
                if self._row >= self._failures:
                    self._open()
            elif probe:  # a late failure of an attempt from before is no news
                self._retry_at = self._clock.seconds() + self._pause

    def _open(self) -> None:
        self._opened = self._clock.seconds()
        self._retry_at = self._opened + self._pause
        self.log.warn(
            "{peer} is not asked for {pause} s: {failures} failures in a row, the last: {cause}",
            event="engine_down",
            peer=self.peer,
            pause=self._pause,
            failures=self._row,
            cause=self.cause,
        )

    def _close(self) -> None:
        self._row = 0
        if self._opened is not None:
            down = round(self._clock.seconds() - self._opened, 1)
            self._opened = None
            self.log.info("{peer} answers again, after {seconds} s", event="engine_up", peer=self.peer, seconds=down)


class Attempt:
    """Leave to ask once."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._over = False

    def succeeded(self) -> None:
        self._end("")

    def failed(self, cause: str) -> None:
        self._end(cause or "failed")

    def abandoned(self) -> None:
        """It ended for reasons of our own: nothing was learned about the peer."""
        self._end(None)

    def _end(self, cause: str | None) -> None:
        if not self._over:
            self._over = True
            self._breaker._ended(self, cause)
