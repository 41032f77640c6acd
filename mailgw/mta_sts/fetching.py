"""Gets the text of a policy over HTTPS (RFC 8461 3.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import frozen
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import TLSVersion, optionsForClientTLS
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.dns.questions import addresses_of

# RFC 8461 3.3 suggests a minute and 64 KiB. Mail waits for it: so DNS and HTTPS have these seconds together.
TIME_LIMIT = 20.0
MAX_OCTETS = 64 * 1024
# All that comes over the connection, the header included.
MAX_RECEIVED = MAX_OCTETS + 64 * 1024
# For one address, so that another can be tried.
CONNECT_TIMEOUT = 5.0
MAX_ADDRESSES = 4

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets what stands at a URL. Raises FetchError."""


class FetchError(Exception):
    """It could not be had; the text says why. `webpki` is True when the server does not prove to be the domain's
    (`sts-webpki-invalid` of RFC 8460 4.3.2.2)."""

    def __init__(self, reason: str, *, webpki: bool = False) -> None:
        super().__init__(reason)
        self.webpki = webpki


class PolicyFetcher:
    """Gets what stands at a URL: follows no redirect, takes no certificate that does not name the host, and asks our
    own resolver for its addresses."""

    def __init__(self, reactor: Any, resolver: Resolver, trust_root: Any = None, port: int = 443) -> None:
        """`trust_root` says who signs, where it is not the platform; `port` is for tests."""
        self._reactor = reactor
        self._agent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, resolver, trust_root, port))

    async def __call__(self, url: str) -> bytes:
        """Give what stands there. Raises FetchError, after TIME_LIMIT at the latest."""
        running = Deferred.fromCoroutine(self._get(url))
        running.addTimeout(TIME_LIMIT, self._reactor)
        try:
            return await running
        except (DeferredTimeout, CancelledError):
            raise FetchError(f"no answer within {TIME_LIMIT:g} s") from None
        except (ResponseFailed, ResponseNeverReceived) as failure:
            raise _explain(failure.reasons) from None
        except error.ConnectError as failure:
            raise FetchError(str(failure)) from None

    async def _get(self, url: str) -> bytes:
        response = await self._agent.request(b"GET", url.encode("ascii"), Headers({b"User-Agent": [b"mailgw"]}))
        body = _Body()
        response.deliverBody(body)
        try:
            if response.code != 200:  # RFC 8461 3.3, and no redirect is followed
                raise FetchError(f"the answer is {response.code}")
            kinds = [kind.decode("latin-1") for kind in response.headers.getRawHeaders(b"Content-Type", [])]
            if [kind.partition(";")[0].strip().lower() for kind in kinds] != ["text/plain"]:  # RFC 8461 3.2
                raise FetchError(f"it is not text/plain, but {', '.join(kinds)[:100] or 'says nothing of its kind'}")
        except FetchError:
            body.stop()
            raise
        return await body.received


def _explain(reasons: Sequence[Failure]) -> FetchError:
    if any(reason.check(CancelledError) for reason in reasons):
        return FetchError(f"no answer within {TIME_LIMIT:g} s")
    for reason in reasons:
        if isinstance(reason.value, FetchError):
            return reason.value
        if isinstance(reason.value, VerificationError):
            return FetchError("its certificate is for another name", webpki=True)
        if isinstance(reason.value, SSL.Error):
            texts = ", ".join(str(part[-1]) for part in (reason.value.args or ((),))[0])
            return FetchError(f"TLS failed: {texts or type(reason.value).__name__}", webpki=True)
    return FetchError("; ".join(str(reason.value) for reason in reasons) or "the connection broke")


@implementer(IAgentEndpointFactory)
@frozen
class _Endpoints:
    reactor: Any
    resolver: Resolver
    trust_root: Any
    port: int

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        options = optionsForClientTLS(  # RFC 8461 3.3: it names the host, and is signed by who is trusted
            host, trustRoot=self.trust_root, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2}
        )
        return wrapClientTLS(options, _Endpoint(self.reactor, self.resolver, host, self.port))


@implementer(IStreamClientEndpoint)
@frozen
class _Endpoint:
    """A host, by the addresses that our resolver gives, one after the other."""

    reactor: Any
    resolver: Resolver
    host: str
    port: int

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        try:
            addresses = await addresses_of(self.resolver, self.host)
        except DnsFailure as failure:
            raise FetchError(f"DNS does not give the address of {self.host}: {failure.cause}") from None
        reason = f"{self.host} has no address"
        bounded = _Bounded(factory, self.reactor)
        for address in addresses[:MAX_ADDRESSES]:
            endpoint = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            try:
                connected: Any = await endpoint(self.reactor, address, self.port, timeout=CONNECT_TIMEOUT).connect(
                    bounded
                )
                return connected.wrappedProtocol  # type: ignore[no-any-return]  # it has what was bounded
            except (error.ConnectError, OSError) as failure:
                reason = f"no connection to {self.host} [{address}]: {failure}"
        raise FetchError(reason)


class _BoundedProtocol(ProtocolWrapper):
    """Ends a connection that lasts too long, or over which more comes than any policy has."""

    factory: _Bounded
    received = 0
    expiry: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:
        self.expiry = self.factory.clock.callLater(TIME_LIMIT, transport.abortConnection)
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self.received > MAX_RECEIVED:
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

    def __init__(self, factory: IProtocolFactory, clock: IReactorTime) -> None:
        super().__init__(factory)
        self.clock = clock


class _Body(Protocol):
    """Collects a body up to the limit."""

    def __init__(self) -> None:
        self.received: Deferred[bytes] = Deferred(canceller=lambda _: self.stop())
        self._data = bytearray()

    def stop(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > MAX_OCTETS and not self.received.called:
            self.received.errback(FetchError(f"it is longer than {MAX_OCTETS} octets"))
            self.stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.received.called:
            return
        # PotentialDataLoss is not whole: without a length it cannot be told from what broke off (RFC 9112 8).
        if reason.check(ResponseDone):
            self.received.callback(bytes(self._data))
        else:
            self.received.errback(FetchError("the answer broke off, or has no length"))
