"""Gets the text of a policy over HTTPS (RFC 8461 3.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mailgw.dns.interface import Resolver
from mailgw.https.client import Answer, HttpsClient
from mailgw.https.endpoints import HttpsError

# RFC 8461 3.3 suggests a minute and 64 KiB. Mail waits for it: so DNS and HTTPS have these seconds together.
TIME_LIMIT = 20.0

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

    def __init__(self, reactor: Any, resolver: Resolver, trust_root: Any = None, port: int | None = None) -> None:
        """`trust_root` says who signs, where it is not the platform; `port` is for tests."""
        self._client = HttpsClient(reactor, resolver, TIME_LIMIT, trust_root=trust_root, port=port)

    async def __call__(self, url: str) -> bytes:
        """Give what stands there. Raises FetchError, after TIME_LIMIT at the latest."""
        try:
            return await self._client.request("GET", url, _refuse)
        except HttpsError as failure:
            raise FetchError(str(failure), webpki=failure.untrusted) from None


def _refuse(answer: Answer) -> str:
    if answer.code != 200:  # RFC 8461 3.3, and no redirect is followed
        return f"the answer is {answer.code}"
    if answer.kind != "text/plain":  # RFC 8461 3.2
        kind = "".join(c if c.isprintable() else "?" for c in answer.kind[:100])
        return f"it is not text/plain, but {kind or 'says nothing of its kind'}"
    return ""
