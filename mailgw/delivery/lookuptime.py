"""How long an attempt waits for DNS."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mailgw.delivery.classify import Unreachable
from mailgw.queue.item import Delayed

T = TypeVar("T")

# All questions of an attempt together (features 4.4): a domain with many MX hosts whose servers are silent would else
# hold its place for minutes.
LIMIT = 30.0
# What is left for the addresses of hosts, however long it took to find out the hosts.
LEAST = 10.0


class LookupTime:
    """What is left of it, in seconds. One for each attempt."""

    def __init__(self, clock: IReactorTime, limit: float = LIMIT) -> None:
        self._clock = clock
        self._left = limit

    async def count(self, question: Coroutine[Any, Any, T]) -> T:
        """Wait for the answer to a question that has a limit of its own; it counts, but leaves LEAST."""
        begun = self._clock.seconds()
        try:
            return await question
        finally:
            self._left = max(self._left - (self._clock.seconds() - begun), LEAST)

    async def spend(self, question: Coroutine[Any, Any, T], what: str) -> T:
        """Wait for the answer to a question; `what` names it. Raises Unreachable when there is no time left, and what
        the question raises."""

        def silent(result: object, seconds: float) -> Failure:
            reason = f"DNS takes too long: {what} was not to be had in the {LIMIT:g} s that an attempt waits for it"
            return Failure(Unreachable(Delayed("4.4.3", reason, site_wide=True)))

        begun = self._clock.seconds()
        asking: Deferred[T] = Deferred.fromCoroutine(question)
        if not asking.called:
            asking.addTimeout(max(self._left, 0.0), self._clock, silent)
        try:
            return await asking
        finally:
            self._left -= self._clock.seconds() - begun
