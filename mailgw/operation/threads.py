"""Thread pools of our own: the reactor's is also getaddrinfo's, and a slow disk must not starve it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")


class Threads(Protocol):
    """Runs blocking work elsewhere."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class ThreadsInline:
    """Runs the work at once, in place: for tests and for the command line."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return work(*args, **kwargs)


class Pool:
    """A named pool of up to `size` threads; start it and stop it with the service that owns it."""

    def __init__(self, reactor: IReactorFromThreads, name: str, size: int) -> None:
        self._reactor: Any = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name=name)

    def start(self) -> None:
        self._pool.start()

    def stop(self) -> None:
        """Wait for what runs, then end the threads."""
        self._pool.stop()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await deferToThreadPool(self._reactor, self._pool, work, *args, **kwargs)
        return result
