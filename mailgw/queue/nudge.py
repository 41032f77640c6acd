"""How a command tells a running gateway that it has changed the queue's database: it touches a file beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

_LOOK_INTERVAL = 1.0
_NUDGE = "changed"


def nudge(directory: Path) -> None:
    """Tell a gateway that runs on the queue that something in it is due now."""
    path = directory / _NUDGE
    path.touch()
    os.utime(path)


class NudgeWatch:
    """Calls `look` soon after a `nudge`."""

    def __init__(self, directory: Path, look: Callable[[], None], clock: IReactorTime) -> None:
        self._path = directory / _NUDGE
        self._look = look
        self._loop = LoopingCall(self._check)
        self._loop.clock = clock
        self._seen = 0

    def start(self) -> None:
        self._seen = self._version()
        self._loop.start(_LOOK_INTERVAL, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _check(self) -> None:
        version = self._version()
        if version != self._seen:
            self._seen = version
            self._look()

    def _version(self) -> int:
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            return 0
