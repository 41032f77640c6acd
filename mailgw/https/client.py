"""One request to a web server that anybody may have named: bounded in time and octets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

from attrs import frozen
from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers

from mailgw.dns.interface import Resolver
from mailgw.https.endpoints import Endpoints, HttpsError

MAX_OCTETS = 64 * 1024


@frozen
class Answer:
    """`kind` is the media type in lower case, without parameters; empty where there is none, or more than one."""

    code: int
    kind: str


class HttpsClient:
    """Asks our own resolver for addresses, follows no redirect, and takes no certificate that does not name the host.

    `time_limit` is for a whole request, in seconds. `allows` says whether an address may be spoken to. `trust_root`
    says who signs, where it is not the platform; `port` is for tests.
    """

    def __init__(
        self,
        reactor: Any,
        resolver: Resolver,
        time_limit: float,
        *,
        allows: Callable[[str], bool] = lambda address: True,
        trust_root: Any = None,
        port: int | None = None,
    ) -> None:
        self._reactor = reactor
        self._time_limit = time_limit
        # The header is bounded by what comes over the connection in all.
        bounds = (time_limit, 2 * MAX_OCTETS)
        self._agent = Agent.usingEndpointFactory(
            reactor, Endpoints(reactor, resolver, trust_root, port, allows, *bounds)
        )

    async def request(
        self,
        method: str,
        url: str,
        refuse: Callable[[Answer], str],
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
    ) -> bytes:
        """Give the content of the answer. Raises HttpsError, after `time_limit` at the latest; also with the reason
        that `refuse` has against an answer, before its content is read."""
        running: Deferred[bytes] = Deferred.fromCoroutine(self._request(method, url, refuse, headers, body))
        running.addTimeout(self._time_limit, self._reactor, _too_late)
        try:
            return await running
        except (RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived) as failure:
            raise _explain(failure.reasons) from None
        except error.ConnectError as failure:
            raise HttpsError(str(failure)) from None

    async def _request(
        self, method: str, url: str, refuse: Callable[[Answer], str], headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        fields = Headers({b"User-Agent": [b"mailgw"]})
        for name, value in headers.items():
            fields.addRawHeader(name.encode("ascii"), value.encode("ascii"))
        producer = None if body is None else FileBodyProducer(BytesIO(body))
        response = await self._agent.request(method.encode("ascii"), url.encode("ascii"), fields, producer)
        content = _Content()
        response.deliverBody(content)
        kinds = [kind.decode("latin-1") for kind in response.headers.getRawHeaders(b"Content-Type", [])]
        kind = kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""
        reason = refuse(Answer(response.code, kind))
        if reason:
            content.stop()
            raise HttpsError(reason)
        return await content.received


def _too_late(result: object, seconds: float) -> Failure:
    return Failure(HttpsError(f"no answer within {seconds:g} s"))


def _explain(reasons: Sequence[Failure]) -> Exception:
    if any(reason.check(CancelledError) for reason in reasons):  # by who asked
        return CancelledError()
    for reason in reasons:
        if isinstance(reason.value, HttpsError):
            return reason.value
        if isinstance(reason.value, SSL.Error):
            texts = ", ".join(str(part[-1]) for part in (reason.value.args or ((),))[0])
            return HttpsError(f"TLS failed: {texts or type(reason.value).__name__}", untrusted=True)
    return HttpsError("; ".join(str(reason.value) for reason in reasons) or "the connection broke")


class _Content(Protocol):
    """Collects a content up to the limit."""

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
            self.received.errback(HttpsError(f"it is longer than {MAX_OCTETS} octets"))
            self.stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.received.called:
            return
        # PotentialDataLoss is not whole: without a length it cannot be told from what broke off (RFC 9112 8).
        if reason.check(ResponseDone):
            self.received.callback(bytes(self._data))
        else:
            self.received.errback(HttpsError("the answer broke off, or has no length"))
