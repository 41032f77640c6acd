"""Waiting for several questions at once."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


async def gather(work: Iterable[Coroutine[Deferred[Any], Any, T]]) -> list[T]:
    """Run all at once, give their results in order; raise the first that fails, as it is, and cancel the rest."""
    return await wait_for_all([Deferred.fromCoroutine(coroutine) for coroutine in work])


async def wait_for_all(started: Sequence[Deferred[T]]) -> list[T]:
    """The same for what runs already.

    `gatherResults` would wrap a cancellation into a FirstError, which no timeout recognises.
    """
    try:
        return [await deferred for deferred in started]
    except Exception:
        for deferred in started:
            deferred.addErrback(lambda _: None)
            deferred.cancel()
        raise
