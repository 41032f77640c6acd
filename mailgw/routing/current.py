"""The router of now: users and aliases may change while the gateway runs.

`mailgw user add` must not be followed by 550 for the new user until the next restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from mailgw.config.schema import Settings
from mailgw.mail.address import Mailbox
from mailgw.operation.current import Current
from mailgw.operation.threads import Threads
from mailgw.routing.interface import REPORT, Origin, Routed, Router, Unknown


def routing_files(settings: Settings) -> tuple[str, ...]:
    """Give the files that a router is built from."""
    lists = [domain.recipients_file for domain in settings.domains.values() if domain.recipients_file]
    return (settings.routing.users_file, settings.routing.aliases_file, *lists)


class CurrentRouter:
    """Routes by the newest files that are right (see Current). Implements routing.interface.Router."""

    def __init__(
        self,
        files: Sequence[str],
        build: Callable[[], Router],
        clock: IReactorTime,
        threads: Threads,
    ) -> None:
        self._current = Current("users and aliases", "routing", lambda: files, build, clock, threads)
        self.start = self._current.start
        self.stop = self._current.stop
        self.refresh = self._current.refresh

    def is_ours(self, domain: str) -> bool:
        return self._current.value.is_ours(domain)

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        return self._current.value.resolve(mailbox, origin)
