"""Addresses that no connection came about with lately: others are tried before them.

Else each attempt would wait for the first smarthost's time-out again, as long as it is down.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

Server = tuple[str, int]
"""An address and a port."""

# So long others come first; then one attempt tries it again, and for a minute only that one.
DOWN_TIME = 300.0
PROBE_TIME = 60.0
MAX_DOWN = 1000


class DownHosts:
    """Remembers them by address and port, in memory."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._until: dict[Server, float] = {}

    def is_down(self, server: Server) -> bool:
        """Whether others come first. Once the time is over it says no to one who asks, and says what came of it."""
        until = self._until.get(server)
        if until is None:
            return False
        now = self._clock.seconds()
        if until > now:
            return True
        self._until[server] = now + PROBE_TIME
        return False

    def up(self, server: Server) -> None:
        """A connection came about."""
        if self._until and self._until.pop(server, None) is not None:
            self.log.info("{address} is back (port {port})", event="host_up", address=server[0], port=server[1])

    def down(self, server: Server, reason: str) -> None:
        """None came about. A mail that goes by another host then tells nobody of it: the log does, once."""
        if server not in self._until:
            self.log.warn("{reason}; others are tried first", event="host_down", reason=reason)
        if len(self._until) >= MAX_DOWN:
            self._until.clear()
        self._until[server] = self._clock.seconds() + DOWN_TIME
