"""One question to one server: over UDP, or TCP where the answer is larger (RFC 7766)."""

from __future__ import annotations

from typing import Any, Protocol

import dns.message
from twisted.internet import error
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.python.failure import Failure

from mailgw.dns.servers import Server
from mailgw.dns.wire import Query, ServerAway, ServerFailure, decode_response

# So many datagrams that do not answer are somebody guessing: TCP cannot be guessed (RFC 5452 9.1).
MAX_WRONG = 10


class SpoofSuspected(Exception):
    """Datagrams came that are not the answer."""


class Exchange(Protocol):
    """How a question is put to a server."""

    async def ask(self, server: Server, query: Query, wait: float, *, stream: bool) -> dns.message.Message:
        """Give the response to this very question.

        Raises ServerAway when nobody is there, ServerFailure when the answer is of no use, TimeoutError when there is
        none for `wait` seconds, and SpoofSuspected (datagrams only).
        """
        ...

    async def stop(self) -> None:
        """Wait until all sockets are closed."""
        ...


class SocketExchange:
    """Asks over sockets. Each question has a datagram socket of its own, so that its port is hard to guess."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor  # IReactorUDP, IReactorTCP and IReactorTime
        self._closing: set[Deferred[Any]] = set()

    async def ask(self, server: Server, query: Query, wait: float, *, stream: bool) -> dns.message.Message:
        return await (self._ask_stream if stream else self._ask_datagram)(server, query, wait)

    async def stop(self) -> None:
        await DeferredList(self._closing)

    async def _ask_datagram(self, server: Server, query: Query, wait: float) -> dns.message.Message:
        protocol = _DatagramClient(server, query)
        try:
            port = self._reactor.listenUDP(0, protocol, interface="::" if ":" in server.address else "")
        except error.CannotListenError as cause:
            raise ServerAway(f"no socket: {cause}") from None
        protocol.answer.addTimeout(wait, self._reactor, _silent)
        try:
            return await protocol.answer
        finally:
            self._watch(port.stopListening())

    async def _ask_stream(self, server: Server, query: Query, wait: float) -> dns.message.Message:
        endpoint = TCP6ClientEndpoint if ":" in server.address else TCP4ClientEndpoint
        protocol = _StreamClient(query)
        factory = Factory.forProtocol(lambda: protocol)
        connecting = endpoint(self._reactor, server.address, server.port, timeout=wait).connect(factory)
        call: IDelayedCall = self._reactor.callLater(wait, protocol.give_up)
        try:
            await connecting
            return await protocol.answer
        except error.ConnectError as cause:
            raise ServerAway(str(cause)) from None
        finally:
            if call.active():
                call.cancel()
            protocol.answer.addErrback(lambda _: None)  # nobody waits for it any more
            protocol.close()
            self._watch(protocol.lost if protocol.transport else None)

    def _watch(self, closing: Deferred[Any] | None) -> None:
        if closing is not None and not closing.called:
            self._closing.add(closing)
            closing.addBoth(lambda _: self._closing.discard(closing))


def _silent(result: object, timeout: float) -> object:
    raise TimeoutError(f"silent for {timeout:g} s")


class _DatagramClient(DatagramProtocol):
    """Sends the query, waits for its answer; what is not the answer is passed over."""

    def __init__(self, server: Server, query: Query) -> None:
        self.answer: Deferred[dns.message.Message] = Deferred()
        self._server = server
        self._query = query
        self._wrong = 0

    def startProtocol(self) -> None:
        transport: Any = self.transport
        # A connected socket takes datagrams from the server only, and learns at once when nobody listens there.
        transport.connect(self._server.address, self._server.port)
        try:
            transport.write(self._query.wire)
        except OSError as cause:
            self._fail(ServerAway(str(cause)))

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if self.answer.called:
            return
        response = None
        if addr[0] == self._server.address and addr[1] == self._server.port:
            try:
                response = decode_response(datagram, self._query)
            except ServerFailure as failure:
                self._fail(failure)
                return
        if response is not None:
            self.answer.callback(response)
            return
        self._wrong += 1
        if self._wrong >= MAX_WRONG:
            self._fail(SpoofSuspected(f"{self._wrong} datagrams do not answer the question"))

    def connectionRefused(self) -> None:
        self._fail(ServerAway("connection refused"))

    def stopProtocol(self) -> None:
        # The epoll reactor takes a refused datagram for the end of the socket, and does not call connectionRefused.
        self._fail(ServerAway("connection refused"))

    def _fail(self, cause: Exception) -> None:
        if not self.answer.called:
            self.answer.errback(cause)


class _StreamClient(StreamProtocol):
    """Sends the query with its length in front, reads one answer."""

    def __init__(self, query: Query) -> None:
        self.answer: Deferred[dns.message.Message] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self._query = query
        self._received = bytearray()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(len(self._query.wire).to_bytes(2) + self._query.wire)

    def dataReceived(self, data: bytes) -> None:
        if self.answer.called:
            return
        self._received += data
        if len(self._received) < 2:
            return
        end = 2 + int.from_bytes(self._received[:2])
        if len(self._received) < end:
            return
        try:
            response = decode_response(bytes(self._received[2:end]), self._query)
        except ServerFailure as failure:
            self._fail(failure)
            return
        if response is None:
            self._fail(ServerFailure("its answer is not to the question"))
        else:
            self.answer.callback(response)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._fail(ServerFailure("the connection was closed before the answer"))
        self.lost.callback(None)

    def give_up(self) -> None:
        self._fail(TimeoutError("silent"))

    def close(self) -> None:
        transport: Any = self.transport
        if transport:
            transport.abortConnection()

    def _fail(self, cause: Exception) -> None:
        if not self.answer.called:
            self.answer.errback(cause)
