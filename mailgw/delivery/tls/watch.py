"""Whether DANE can be: a resolver that validates is a matter of the machine, and its absence is silent."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.dns.questions import is_validating

INTERVAL = 3600.0


class DaneWatch:
    """Looks at the start and every hour, while DANE is `wanted`, and says in the log when it is not so, and when that
    has changed."""

    log = Logger()

    def __init__(self, resolver: Resolver, clock: IReactorTime, wanted: Callable[[], bool] = lambda: True) -> None:
        self._wanted = wanted
        self._resolver = resolver
        self._validating = True
        self._asking: Deferred[None] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        self._loop.start(INTERVAL, now=True)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()
        if self._asking is not None:
            self._asking.cancel()

    def _look(self) -> None:
        """Nothing waits for it: whether an answer is DNSSEC's is seen in each."""
        self._asking = Deferred.fromCoroutine(self._ask())
        self._asking.addBoth(self._done)

    def _done(self, result: object) -> None:
        self._asking = None

    async def _ask(self) -> None:
        if not self._wanted():
            return
        try:
            validating = await is_validating(self._resolver)
        except DnsFailure:
            return  # no answer says nothing; that there is none others will say
        if validating == self._validating:
            return
        self._validating = validating
        if validating:
            self.log.info("the resolver validates DNSSEC now: hosts are held to their TLSA records", event="dane_on")
        else:
            self.log.warn(
                "the resolver does not validate DNSSEC, or is not trusted to: mail goes out without DANE. Use a "
                "validating one on this host or name one in [dns] trust_authenticated; or set [relay] dane = false",
                event="dane_off",
            )
