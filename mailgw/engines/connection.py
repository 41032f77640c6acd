"""A connection to an engine: Twisted's side of a Stream."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionDone, DNSLookupError
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mailgw.engines.address import Address
from mailgw.engines.errors import Broken

_UNREAD = 64 * 1024
"""Octets that wait for `receive` from which on the transport is not read."""


@implementer(IPushProducer)
class Connection(Protocol):
    """A Stream (stream.py). `patience` is how many seconds one wait may take, in either direction; None: any time."""

    transport: Any  # no one interface has what TCP and UNIX transports both have

    def __init__(self, clock: IReactorTime) -> None:
        self.patience: float | None = None
        self._clock = clock
        self._unread: list[bytes] = []
        self._unread_size = 0
        self._lost: Failure | None = None
        self._full = False
        self._sender: Deferred[None] | None = None
        self._receiver: Deferred[None] | None = None

    @property
    def answered(self) -> bool:
        return bool(self._unread) or self._lost is not None

    async def send(self, data: bytes) -> None:
        if self._lost is not None:
            return
        self.transport.write(data)
        if self._full:
            self._sender = Deferred()
            await self._patiently(self._sender, "did not take what was sent")

    def finish(self) -> None:
        if self._lost is None:
            self.transport.loseWriteConnection()

    async def receive(self) -> bytes:
        if not self.answered:
            self._receiver = Deferred()
            await self._patiently(self._receiver, "did not answer")
        if self._unread:
            data = b"".join(self._unread)
            self._unread.clear()
            if self._unread_size > _UNREAD and self._lost is None:
                self.transport.resumeProducing()
            self._unread_size = 0
            return data
        assert self._lost is not None
        if isinstance(self._lost.value, ConnectionDone):
            return b""
        raise Broken(f"the connection was lost: {self._lost.getErrorMessage()}")

    def close(self) -> None:
        """End it, with what was sent sent."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        """End it at once."""
        self.transport.abortConnection()

    async def _patiently(self, waiter: Deferred[None], what: str) -> None:
        if self.patience is None:
            await waiter
            return
        seconds = self.patience
        timer = self._clock.callLater(seconds, lambda: waiter.errback(Broken(f"it {what} within {seconds:g} s")))
        try:
            await waiter
        finally:
            self._sender = self._receiver = None
            if timer.active():
                timer.cancel()

    # Twisted's side

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)  # short packets that wait for each other's answers

    def dataReceived(self, data: bytes) -> None:
        self._unread.append(data)
        self._unread_size += len(data)
        if self._unread_size > _UNREAD:
            self.transport.pauseProducing()
        self._wake_receiver()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason
        self.resumeProducing()
        self._wake_receiver()

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        sender, self._sender = self._sender, None
        if sender is not None and not sender.called:
            sender.callback(None)

    def stopProducing(self) -> None:
        self.resumeProducing()

    def _wake_receiver(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None and not receiver.called:
            receiver.callback(None)


async def connect(address: Address, reactor: Any, timeout: float) -> Connection:
    """Connect. Raises Broken."""
    factory = Factory.forProtocol(lambda: Connection(reactor))
    factory.noisy = False
    try:
        connected: Any = await address.endpoint(reactor, timeout).connect(factory)
    except ConnectingCancelledError:
        raise CancelledError from None  # who waits has given up
    except (ConnectError, DNSLookupError) as error:
        raise Broken(f"no connection: {_describe(error)}") from error
    return connected  # type: ignore[no-any-return]


def _describe(error: Exception) -> str:
    """Twisted's errors end with a stop, and have whole lines in front."""
    return str(error).rpartition("\n")[2].rstrip(".") or type(error).__name__
