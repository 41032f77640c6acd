"""Starting coroutines without a Deferred where none is needed, and waiting no longer than a limit."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")


class TimeLimit(Exception):
    """What was waited for did not come in time."""


@frozen
class Finished(Generic[T]):
    """A coroutine that ended at once, with its result."""

    value: T


def start(coroutine: Coroutine[Deferred[Any], Any, T]) -> Finished[T] | Deferred[T]:
    """Run a coroutine up to its first wait: give its result when it has none, else a Deferred of the result.

    Raises what the coroutine raises before its first wait. Most checks never wait, and a Deferred and a context
    for each of them would cost more than the check does.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        return Finished(stop.value)
    return Deferred.fromCoroutine(_resume(coroutine, awaited))


@types.coroutine
def _resume(coroutine: Coroutine[Deferred[Any], Any, T], awaited: Deferred[Any]) -> Generator[Deferred[Any], Any, T]:
    """Go on with a coroutine that has already handed out the first thing that it waits for."""
    while True:
        thrown: BaseException | None = None
        try:
            value = yield awaited
        except BaseException as error:
            thrown = error
        try:
            awaited = coroutine.send(value) if thrown is None else coroutine.throw(thrown)
        except StopIteration as stop:
            result: T = stop.value
            return result


def limited(deferred: Deferred[T], seconds: float, clock: IReactorTime) -> Deferred[T]:
    """Give a Deferred of the same result, which fails with TimeLimit after `seconds`.

    Then, and when it is cancelled, the first one is cancelled and whatever it still does is ignored: unlike with
    `Deferred.addTimeout`, code that does not heed its cancellation cannot hold up those who wait.
    """

    def give_up(_: Deferred[T]) -> None:
        if timer.active():
            timer.cancel()
        deferred.cancel()

    def ended(result: T | Failure) -> None:
        if timer.active():
            timer.cancel()
        if not waiting.called:
            waiting.callback(result)

    def expired() -> None:
        waiting.errback(TimeLimit())
        deferred.cancel()

    waiting: Deferred[T] = Deferred(give_up)
    timer = clock.callLater(seconds, expired)
    deferred.addBoth(ended)
    return waiting
