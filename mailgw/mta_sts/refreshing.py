"""Fetches the policies in use anew, long before they end (RFC 8461 3.3, 10.2)."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.mail.reply import TemporaryFailure
from mailgw.mta_sts.finder import REFRESH_AFTER, PolicyFinder
from mailgw.mta_sts.store import PolicyStore

_FIRST = 300.0
_PERIOD = 6 * 3600.0
# A domain that nobody wrote to for so long is left to itself.
_USED_WITHIN = 30 * 86400.0
# For a period: they are asked one by one.
_MAX = 500


class Refresher:
    """The service. One worker runs it, for all."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, finder: PolicyFinder, store: PolicyStore, clock: IReactorTime) -> None:
        self._finder = finder
        self._store = store
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        self._call = self._clock.callLater(_FIRST, self._tick)

    async def stop(self) -> None:
        """Begin nothing new, and give up what runs."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._running is not None:
            running, self._running = self._running, None
            running.cancel()

    def _tick(self) -> None:
        self._call = self._clock.callLater(_PERIOD, self._tick)
        if self._running is None:
            running = self._running = Deferred.fromCoroutine(self.run())
            running.addErrback(self._trouble)
            running.addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self._running = None

    def _trouble(self, failure: Failure) -> None:
        self.log.failure("policies are not refreshed", failure, event="mta_sts_refresh_failed")

    async def run(self) -> None:
        """Refresh what is due now."""
        now = self._clock.seconds()
        try:
            for kept in await self._store.due(now - REFRESH_AFTER, now - _USED_WITHIN, _MAX):
                standing = await self._finder.refresh(kept)
                # The finder logs what it could not fetch.
                if standing.problem is not None and standing.problem.kind in ("dns", "record") and standing.policy:
                    self.log.warn(
                        "the MTA-STS policy of {domain} cannot be refreshed: {reason}",
                        event="mta_sts_failed",
                        domain=kept.domain,
                        reason=standing.problem.reason,
                    )
        except TemporaryFailure as failure:
            self.log.warn("policies are not refreshed: {reason}", event="mta_sts_refresh_failed", reason=failure.cause)
        except CancelledError:
            pass
