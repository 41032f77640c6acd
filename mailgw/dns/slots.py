"""How many tries are on the wire at once, and who gives way when there is no room.

A sender whose name servers are silent must not hold up the questions about others. So when all slots are taken, the
try that has waited longest gives way: what DNS answers at all it nearly always answers within a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T")

# A try that has run for so long gives way to one that waits for a slot.
PATIENCE = 1.0


class Slots:
    """At most `size` tries run; the others wait in order."""

    def __init__(self, clock: IReactorTime, size: int) -> None:
        self._clock = clock
        self._size = size
        self._running: dict[Deferred[Any], float] = {}  # since when, the oldest first
        self._gave_way: set[Deferred[Any]] = set()
        self._waiting: deque[Deferred[None]] = deque()
        self._call: IDelayedCall | None = None

    async def run(self, start: Callable[[], Coroutine[Deferred[Any], Any, T]], *, retry: bool = False) -> T:
        """Run a try in a slot, and give what it gives.

        Raises TimeoutError when it had to give way, or is a `retry` and no slot is free: those wait for nothing.
        """
        if len(self._running) >= self._size:
            if retry:
                raise TimeoutError("no slot is free")
            await self._turn()
        work = Deferred.fromCoroutine(start())
        self._running[work] = self._clock.seconds()
        try:
            return await work
        except CancelledError:
            if work in self._gave_way:
                raise TimeoutError("it gave way to another") from None
            raise
        finally:
            self._running.pop(work, None)
            self._gave_way.discard(work)
            self._next()

    async def _turn(self) -> None:
        turn: Deferred[None] = Deferred(canceller=self._give_up)
        self._waiting.append(turn)
        self._make_room()
        await turn

    def _give_up(self, turn: Deferred[None]) -> None:
        self._waiting.remove(turn)
        self._stop_watching()

    def _next(self) -> None:
        if self._waiting and len(self._running) < self._size:
            self._waiting.popleft().callback(None)
        self._stop_watching()

    def _stop_watching(self) -> None:
        if not self._waiting and self._call is not None and self._call.active():
            self._call.cancel()

    def _make_room(self) -> None:
        """Let old tries give way to those that wait; look again when the next is old."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        now = self._clock.seconds()
        while self._waiting and self._running:
            oldest, since = next(iter(self._running.items()))
            if since + PATIENCE > now:
                self._call = self._clock.callLater(since + PATIENCE - now, self._make_room)
                return
            del self._running[oldest]
            self._gave_way.add(oldest)
            oldest.cancel()  # its end calls the next
