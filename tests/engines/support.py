"""Engines in memory: streams and reactors whose other side is the test."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from mailgw.engines.facts import Facts
from tests.filters.support import make_transaction


def facts(**changes: Any) -> Facts:
    return Facts.of(make_transaction(**changes), "mail.example.org")


def splits(data: bytes, entropy: random.Random) -> Iterator[bytes]:
    """Cut it into pieces of any sizes."""
    while data:
        size = entropy.choice((1, 2, 3, 7, 50, 1000))
        yield data[:size]
        data = data[size:]


class Transport(StringTransport):
    """What the gateway's end of a connection has below it."""

    half_closed = False
    aborted = False
    reading = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True


class Peer:
    """The engine's end of a connection."""

    def __init__(self, protocol: Any) -> None:
        self.transport = Transport()
        self._protocol = protocol
        protocol.makeConnection(self.transport)

    @property
    def received(self) -> bytes:
        return bytes(self.transport.value())

    @property
    def ended(self) -> bool:
        """Whether the gateway has ended the connection."""
        return bool(self.transport.disconnecting)

    def send(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def close(self) -> None:
        self._protocol.connectionLost(Failure(ConnectionDone()))

    def lose(self) -> None:
        self._protocol.connectionLost(Failure(ConnectionLost()))

    def fill(self) -> None:
        """Take no more."""
        self.transport.producer.pauseProducing()  # type: ignore[union-attr]

    def drain(self) -> None:
        self.transport.producer.resumeProducing()  # type: ignore[union-attr]


class EngineReactor(MemoryReactorClock):
    """A reactor with engines on UNIX sockets, which the test accepts or refuses connections for."""

    @property
    def asked(self) -> list[str]:
        """The paths that somebody waits to be connected to."""
        return [client[0] for client in self.unixClients]

    def accept(self) -> Peer:
        path, factory, *_ = self.unixClients.pop(0)
        return Peer(factory.buildProtocol(UNIXAddress(path)))

    def refuse(self, error: Exception) -> None:
        _, factory, *_ = self.unixClients.pop(0)
        factory.clientConnectionFailed(None, Failure(error))
