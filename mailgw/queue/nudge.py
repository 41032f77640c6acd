"""How a command tells a running gateway that it has changed the queue's database: it touches a file beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

_LOOK_INTERVAL = 1.0
_NUDGE = "changed"


def nudge(directory: Path) -> None:
    """Tell a gateway that runs on the queue that somebody else changes it. Where the file cannot be made (the disk is
    full), the gateway finds what is due when it looks through all of the queue, some minutes later."""
    path = directory / _NUDGE
    with suppress(OSError):
        path.touch()
        os.utime(path)


class NudgeFile:
    """The file, as the gateway looks at it."""

    def __init__(self, directory: Path) -> None:
        self._path = os.fspath(directory / _NUDGE)
        self._seen = self._version()

    def changed(self) -> bool:
        """Whether there was a `nudge` since this was last asked. It is asked before each attempt: one stat(2)."""
        version = self._version()
        changed = version != self._seen
        self._seen = version
        return changed

    def _version(self) -> int:
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            return 0


class NudgeWatch:
    """Calls `look` soon after a change that `changed` tells of, when no attempt comes before."""

    def __init__(self, changed: Callable[[], bool], look: Callable[[], None], clock: IReactorTime) -> None:
        self._changed = changed
        self._look = look
        self._loop = LoopingCall(self._check)
        self._loop.clock = clock

    def start(self) -> None:
        self._loop.start(_LOOK_INTERVAL, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _check(self) -> None:
        if self._changed():
            self._look()
