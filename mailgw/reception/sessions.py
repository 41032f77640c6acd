"""The sessions that run now: to hurry the idle, to make room for others, and to end all at a shutdown."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from mailgw.reception.link import Link

_HURRY_INTERVAL = 1.0
_SEARCH_INTERVAL = 0.25
"""Seconds between two looks at all sessions: who comes and goes must not make us do it each time."""
SILENCE = 1.0
"""Seconds without a command after which a session gives its place to another, when no other place is left. Who talks
waits for our replies, not we for its commands; and who has been silent for longest goes first."""


class Sessions:
    """All sessions of all listeners."""

    def __init__(self, clock: IReactorTime, command_under_load: float) -> None:
        """`command_under_load`: the seconds that idle clients have under load."""
        self._clock = clock
        self._command_under_load = command_under_load
        self._running: dict[Link, Deferred[None]] = {}
        self._silent: deque[tuple[float, Link]] = deque()
        self._hurried = float("-inf")
        self._searched = float("-inf")
        self.stopping = False

    def add(self, link: Link, done: Deferred[None]) -> None:
        """A session began."""
        self._running[link] = done

    def remove(self, link: Link) -> None:
        self._running.pop(link, None)

    def __len__(self) -> int:
        return len(self._running)

    def hurry(self) -> None:
        """Under load: idle sessions have less time from now on, counted from the beginning of their silence."""
        now = self._clock.seconds()
        if not self._hurried <= now < self._hurried + _HURRY_INTERVAL:
            self._hurried = now
            for link in self._running:
                link.hurry(self._command_under_load)

    def make_room(self) -> bool:
        """No place is left: end the session that has been silent for longest, if one is for long enough.

        Without this, who opens connections and says nothing would shut everybody else out until they time out.
        """
        now = self._clock.seconds()
        if not self._silent and not self._searched <= now < self._searched + _SEARCH_INTERVAL:
            self._searched = now
            givers = (link for link in self._running if not link.keeps_place)
            waiting = [(since, link) for link in givers if (since := link.silent_since) is not None]
            silent = [entry for entry in waiting if entry[0] <= now - SILENCE]
            self._silent.extend(sorted(silent, key=lambda entry: entry[0]))
        while self._silent:
            since, link = self._silent.popleft()
            if link in self._running and link.silent_since == since:
                link.give_room()
                return True
        return False

    async def stop(self, grace: float) -> None:
        """Ask all to end; cut those off that have not after `grace` seconds. No other may begin."""
        self.stopping = True
        for link in tuple(self._running):
            link.stop()
        cutting = self._clock.callLater(grace, self._cut)
        try:
            while self._running:
                await gatherResults([_ended(done) for done in self._running.values()])
        finally:
            if cutting.active():
                cutting.cancel()

    def _cut(self) -> None:
        for link in tuple(self._running):
            link.cut()


def _ended(done: Deferred[None]) -> Deferred[None]:
    """A Deferred of its own that fires with `done`: several may wait for one session."""
    ended: Deferred[None] = Deferred()

    def fire(result: Any) -> Any:
        ended.callback(None)
        return result

    done.addBoth(fire)
    return ended
