"""What comes before a session on a connection from a balancer: the header of the PROXY protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.smtp.proxy import ProxyError, ProxyHeader, ProxyReader


class ProxyPreface(Protocol):
    """Reads the header, then gives the transport to the protocol that `serve` makes for it, with what came behind.

    `serve` gets the header, and whether bytes came with it. A connection without a right header within `limit`
    seconds is closed with a line in the log: without it nobody knows whom it is from.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, address: str, serve: Callable[[ProxyHeader, bool], IProtocol], clock: IReactorTime, limit: float
    ) -> None:
        self._address = address
        self._serve = serve
        self._reader = ProxyReader()
        self._timer: IDelayedCall = clock.callLater(limit, self._refuse, f"no PROXY header within {limit:g} s")

    @property
    def tcp(self) -> Any:
        """The transport: Twisted has no type for one that can be aborted and change its protocol."""
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        header = self._reader.receive(data)
        if header is None:
            return
        self._stop_timer()
        if isinstance(header, ProxyError):
            self._refuse(header.reason)
            return
        rest = self._reader.rest
        protocol = self._serve(header, bool(rest))
        self.tcp.protocol = protocol
        protocol.makeConnection(self.tcp)
        if rest:
            # Not `protocol`: with implicit TLS the transport has another one by now, which wants to see the handshake.
            self.tcp.protocol.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer.active():
            self._timer.cancel()

    def _refuse(self, reason: str) -> None:
        self.log.warn(
            "closed a connection from the balancer {address}: {reason}",
            event="proxy_refused",
            address=self._address,
            reason=reason,
        )
        self.tcp.abortConnection()
