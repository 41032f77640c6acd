"""Gets the text of an MTA-STS policy over HTTPS (RFC 8461 3.3)."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from mailgw.doctor.mta_sts import FetchError

TIME_LIMIT = 15.0
MAX_OCTETS = 64 * 1024


class PolicyFetcher:
    """A `mta_sts.Fetch`: follows no redirect, and takes no certificate that does not name the host."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._agent = Agent(reactor, connectTimeout=TIME_LIMIT)

    async def __call__(self, url: str) -> bytes:
        """Give what stands there. Raises FetchError."""
        running = Deferred.fromCoroutine(self._get(url))
        running.addTimeout(TIME_LIMIT, self._reactor)
        try:
            return await running
        except (DeferredTimeout, CancelledError):
            raise FetchError(f"no answer within {TIME_LIMIT:g} s") from None
        except (ResponseFailed, ResponseNeverReceived) as failure:
            if any(reason.check(CancelledError) for reason in failure.reasons):
                raise FetchError(f"no answer within {TIME_LIMIT:g} s") from None
            reasons = "; ".join(str(reason.value) for reason in failure.reasons)
            raise FetchError(reasons or "the connection broke") from None
        except error.ConnectError as failure:
            raise FetchError(str(failure)) from None
        except error.DNSLookupError:
            raise FetchError("its host has no address") from None

    async def _get(self, url: str) -> bytes:
        response = await self._agent.request(b"GET", url.encode("ascii"), Headers({"User-Agent": ["mailgw"]}))
        body = _Body()
        response.deliverBody(body)
        if response.code != 200:
            body.stop()
            raise FetchError(f"the answer is {response.code}")
        return await body.received


class _Body(Protocol):
    """Collects a body up to the limit."""

    def __init__(self) -> None:
        self.received: Deferred[bytes] = Deferred(canceller=lambda _: self.stop())
        self._data = b""

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
        if reason.check(ResponseDone, PotentialDataLoss):
            self.received.callback(self._data)
        else:
            self.received.errback(FetchError("the answer broke off"))
