"""The router of now: users and aliases may change while the gateway runs.

`mailgw user add` must not be followed by 550 for the new user until the next restart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.mail.address import Mailbox
from mailgw.operation.threads import Threads
from mailgw.routing.interface import Routed, Router, Unknown

_Versions = tuple[tuple[int, int, int] | None, ...]


def routing_files(settings: Settings) -> tuple[str, ...]:
    """Give the files that a router is built from."""
    lists = [domain.recipients_file for domain in settings.domains.values() if domain.recipients_file]
    return (settings.routing.users_file, settings.routing.aliases_file, *lists)


class CurrentRouter:
    """Routes by the newest files that are right. Implements routing.interface.Router.

    The constructor builds the first router, and raises what `build` raises. Between `start` and `stop` it looks at
    the files every `interval` seconds, and when one has changed it builds the router anew, in a thread. What is wrong
    is logged then, and the router stays as it was.
    """

    log = Logger()

    def __init__(
        self,
        files: Sequence[str],
        build: Callable[[], Router],
        clock: IReactorTime,
        threads: Threads,
        *,
        interval: float = 2.0,
    ) -> None:
        self._files = files
        self._build = build
        self._threads = threads
        self._interval = interval
        # Before the files are read: a change in between is seen at the next look.
        self._versions = _versions(files)
        self._router = build()
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(self.refresh()))
        self._loop.clock = clock

    def is_ours(self, domain: str) -> bool:
        return self._router.is_ours(domain)

    def resolve(self, mailbox: Mailbox) -> Routed | Unknown:
        return self._router.resolve(mailbox)

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
            self._router = await self._threads.run(self._build)
        except ConfigurationErrors as errors:
            for error in errors.errors:
                self.log.error("{problem}", event="routing_refused", problem=str(error))
        except Exception:
            self.log.failure("users and aliases could not be read again", event="routing_failed")
        else:
            self.log.info("users and aliases were read again", event="routing_changed")


def _versions(files: Sequence[str]) -> _Versions:
    """What tells these files from other versions of them; None stands for one that is not there."""
    versions: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            status = os.stat(file)
        except OSError:
            versions.append(None)
        else:
            versions.append((status.st_ctime_ns, status.st_size, status.st_ino))
    return tuple(versions)
