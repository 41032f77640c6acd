"""What was read from files, as they are now: it is read again when one of them changes.

A file that is wrong changes nothing: that is logged, and what was read before stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mailgw.config.errors import ConfigurationErrors
from mailgw.operation.threads import Threads

T = TypeVar("T")
_Versions = dict[str, tuple[int, int, int] | None]


class Current(Generic[T]):
    """`value` is made from the newest files that are right.

    The constructor makes the first one, and raises what `build` raises. Between `start` and `stop` it looks at the
    files every `interval` seconds, and builds anew, in a thread, when one has changed. `what` and `event` name it in
    the log: `event`_changed, `event`_refused, `event`_failed.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        what: str,
        event: str,
        files: Callable[[], Sequence[str]],
        build: Callable[[], T],
        clock: IReactorTime,
        threads: Threads,
        *,
        interval: float = 2.0,
    ) -> None:
        self._what = what
        self._event = event
        self._files = files
        self._build = build
        self._threads = threads
        self._interval = interval
        # Before the files are read: a change in between is seen at the next look.
        self._versions = _versions(files)
        self.value = build()
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(self.refresh()))
        self._loop.clock = clock

    def start(self) -> None:
        self._loop.start(self._interval, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    async def refresh(self) -> None:
        """Look at the files now. Never raises: what is wrong is logged once, until a file changes again."""
        try:
            versions = await self._threads.run(_versions, self._files)
            if versions == self._versions:
                return
            self._versions = versions
            self.value = await self._threads.run(self._build)
        except ConfigurationErrors as errors:
            for error in errors.errors:
                self.log.error("{problem}", event=f"{self._event}_refused", problem=str(error))
        except Exception:
            self.log.failure("{what} could not be read again", event=f"{self._event}_failed", what=self._what)
        else:
            self.log.info("{what} were read again", event=f"{self._event}_changed", what=self._what)


def _versions(files: Callable[[], Sequence[str]]) -> _Versions:
    """What tells these files from other versions of them; None stands for one that is not there."""
    versions: _Versions = {}
    for file in files():
        try:
            status = os.stat(file)
        except OSError:
            versions[file] = None
        else:
            versions[file] = (status.st_ctime_ns, status.st_size, status.st_ino)
    return versions
