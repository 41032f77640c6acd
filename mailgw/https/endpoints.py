"""Connections to web servers: by the addresses that our resolver gives, verified, bounded."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from attrs import frozen
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import TLSVersion, optionsForClientTLS
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.dns.questions import addresses_of
from mailgw.operation.peer_certificate import flaw_of

# For one address, so that another can be tried.
CONNECT_TIMEOUT = 5.0
MAX_ADDRESSES = 4


class HttpsError(Exception):
    """There is no answer; the text says why. `untrusted` is True when the server does not prove to be the one that the
    URL names."""

    def __init__(self, reason: str, *, untrusted: bool = False) -> None:
        super().__init__(reason)
        self.untrusted = untrusted


@implementer(IAgentEndpointFactory)
@frozen
class Endpoints:
    """What twisted.web's Agent connects by. A connection lasts `time_limit` seconds at most, and over it come
    `max_received` octets at most."""

    reactor: Any
    resolver: Resolver
    trust_root: Any
    port: int | None
    allows: Callable[[str], bool]
    time_limit: float
    max_received: int

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        if uri.scheme != b"https":
            raise HttpsError("it is no https: URL")
        host = uri.host.decode("ascii")
        try:
            options = optionsForClientTLS(
                host, trustRoot=self.trust_root, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2}
            )
        except ValueError:  # of the library for IDNA
            raise HttpsError(f"no certificate can have the name {host[:100]}") from None
        return wrapClientTLS(_Proving(options, host), _Endpoint(self, host, self.port or uri.port))


@implementer(IOpenSSLClientConnectionCreator)
@frozen
class _Proving:
    """TLS as `options` make it, with a server that proves to be `host`."""

    options: IOpenSSLClientConnectionCreator
    host: str

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self.options.clientConnectionForTLS(tlsProtocol)
        protocol = weakref.ref(tlsProtocol)  # it refers to the connection

        def verify(connection: SSL.Connection, certificate: X509, number: int, depth: int, ok: int) -> bool:
            flaw = flaw_of(certificate, self.host, number, depth, ok)
            if flaw is not None and (waiting := protocol()) is not None:
                waiting.failVerification(Failure(HttpsError(f"its certificate {flaw.words}", untrusted=True)))
            return flaw is None

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection


@implementer(IStreamClientEndpoint)
@frozen
class _Endpoint:
    """A host, by its addresses, one after the other."""

    common: Endpoints
    host: str
    port: int

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        common = self.common
        try:
            addresses = await addresses_of(common.resolver, self.host)
        except DnsFailure as failure:
            raise HttpsError(f"DNS does not give the address of {self.host}: {failure.cause}") from None
        reason = f"{self.host} has no address"
        bounded = _Bounded(factory, common)
        for address in addresses[:MAX_ADDRESSES]:
            if not common.allows(address):
                reason = f"{self.host} [{address}] is no public address"
                continue
            endpoint = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            try:
                connected: Any = await endpoint(common.reactor, address, self.port, timeout=CONNECT_TIMEOUT).connect(
                    bounded
                )
                wrapped: IProtocol = connected.wrappedProtocol  # it has what was bounded
                return wrapped
            except (error.ConnectError, OSError) as failure:
                reason = f"no connection to {self.host} [{address}]: {failure}"
        raise HttpsError(reason)


class _BoundedProtocol(ProtocolWrapper):
    """Ends a connection that lasts too long, or over which too much comes."""

    factory: _Bounded
    received = 0
    expiry: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:
        clock: IReactorTime = self.factory.common.reactor
        self.expiry = clock.callLater(self.factory.common.time_limit, transport.abortConnection)
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self.received > self.factory.common.max_received:
            transport: Any = self.transport
            transport.abortConnection()
        else:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.expiry is not None and self.expiry.active():
            self.expiry.cancel()
        super().connectionLost(reason)


class _Bounded(WrappingFactory):
    noisy = False
    protocol = _BoundedProtocol

    def __init__(self, factory: IProtocolFactory, common: Endpoints) -> None:
        super().__init__(factory)
        self.common = common
