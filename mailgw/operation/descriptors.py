"""File descriptors: each connection takes one, and a process may have 1024 where nobody says otherwise."""

from __future__ import annotations

import resource
from typing import ClassVar

from attrs import frozen
from twisted.logger import Logger

from mailgw.config.schema import Settings

_OTHERS = 700
"""Up to 512 for DNS; ports, databases, logs, libraries."""


@frozen
class Descriptors:
    """Raises our own limit at the start, as far as the system lets us."""

    log: ClassVar[Logger] = Logger()

    needed: int

    @classmethod
    def of(cls, settings: Settings) -> Descriptors:
        """What the configuration may come to: a session has a connection and a file for a large message, a delivery
        has the same."""
        return cls(2 * (settings.limits.connections + settings.queue.concurrency) + _OTHERS)

    def start(self) -> None:
        """Allow as many as are needed; say so when fewer are to be had."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= self.needed:
            return
        allowed = self.needed if hard == resource.RLIM_INFINITY else min(self.needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < self.needed:
            self.log.warn(
                "{needed} file descriptors may be needed and {allowed} are allowed: raise LimitNOFILE (ulimit -n), or"
                " lower limits.connections",
                event="few_descriptors",
                needed=self.needed,
                allowed=allowed,
            )
