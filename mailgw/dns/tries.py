"""The tries of one question: the next starts when one is silent, and the first answer counts, whoever gives it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mailgw.dns.wire import ServerFailure

T = TypeVar("T")

# Tries of one question that run at a time: each holds a socket.
MAX_RUNNING = 3


class Tries(Generic[T]):
    """Runs tries, three at a time. A server that is slow is still heard while the next is asked."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._running: list[Deferred[None]] = []
        self._news: Deferred[T | ServerFailure | None] = Deferred()

    async def start(self, work: Coroutine[Deferred[Any], Any, T], wait: float) -> T | ServerFailure | None:
        """Start one try more; wait `wait` seconds for news of any. None when there is none: all are silent.

        Raises what a try raises, but for ServerFailure, which is given, and TimeoutError, which is silence.
        """
        self._running = [attempt for attempt in self._running if not attempt.called]
        for oldest in self._running[: 1 - MAX_RUNNING]:
            oldest.cancel()
        news = self._news = Deferred()
        attempt = Deferred.fromCoroutine(work)
        self._running.append(attempt.addCallbacks(self._tell, self._failed))
        call = None if news.called else self._clock.callLater(wait, news.callback, None)
        try:
            return await news
        finally:
            if call is not None and call.active():
                call.cancel()

    def cancel(self) -> None:
        """End all that still run."""
        for attempt in self._running:
            attempt.cancel()

    def _tell(self, news: T | ServerFailure) -> None:
        if not self._news.called:
            self._news.callback(news)

    def _failed(self, failure: Failure) -> None:
        cause = failure.value
        if isinstance(cause, ServerFailure):
            self._tell(cause)
        elif not isinstance(cause, TimeoutError) and not self._news.called:
            self._news.errback(failure)
