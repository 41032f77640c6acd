"""Reports by HTTPS (RFC 8460 5.4), and by all ways that a report goes."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Any, ClassVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.dns.interface import Resolver
from mailgw.https.client import Answer, HttpsClient
from mailgw.https.endpoints import HttpsError
from mailgw.mail.reply import TemporaryFailure
from mailgw.reports.daily import Nobody
from mailgw.reports.outbox import Outbox, Post, ReportMail

TIME_LIMIT = 30.0
# RFC 8460 5.5: tried again, for longer and longer.
_FIRST_PAUSE = 900.0
_LONGEST_PAUSE = 14400.0
_MAX_KNOWN = 10_000


def make_client(reactor: Any, resolver: Resolver) -> HttpsClient:
    """Give a client for URLs that anybody may have published: it speaks to no address of ours or of a neighbour."""
    return HttpsClient(reactor, resolver, TIME_LIMIT, allows=lambda address: ipaddress.ip_address(address).is_global)


@frozen
class _Failure:
    reason: str
    pause: float
    until: float


class Poster:
    """Posts reports. What failed is left alone for a while, each time for longer."""

    def __init__(self, client: HttpsClient, clock: IReactorTime) -> None:
        self._client = client
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], _Failure] = OrderedDict()
        self._running: set[Deferred[bytes]] = set()

    async def post(self, post: Post) -> str:
        """Give the reason why it did not arrive, empty where it did."""
        now = self._clock.seconds()
        key = (post.url, post.report_id)
        before = self._failures.get(key)
        if before is not None and before.until > now:
            return before.reason
        headers = {"Content-Type": post.media_type}
        running = Deferred.fromCoroutine(self._client.request("POST", post.url, _refuse, headers, post.body))
        self._running.add(running)
        try:
            await running
        except CancelledError:  # by `stop`
            return f"{post.url}: the gateway stops"
        except HttpsError as error:
            reason = f"{post.url}: {error}"
            pause = min(2 * before.pause, _LONGEST_PAUSE) if before is not None else _FIRST_PAUSE
            self._failures[key] = _Failure(reason, pause, self._clock.seconds() + pause)
            if len(self._failures) > _MAX_KNOWN:
                self._failures.popitem(last=False)
            return reason
        finally:
            self._running.discard(running)
        self._failures.pop(key, None)
        return ""

    def stop(self) -> None:
        """Give up what is under way."""
        for running in tuple(self._running):
            running.cancel()


def _refuse(answer: Answer) -> str:
    # 5.4: "typically a 200 or 201"; a redirect is not followed.
    return "" if 200 <= answer.code < 300 else f"the answer is {answer.code}"


class Dispatch:
    """A daily.Sender: puts mail into the queue, and posts. One way that works is enough (RFC 8460 3)."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, outbox: Outbox, poster: Poster, clock: IReactorTime) -> None:
        self._outbox = outbox
        self._poster = poster
        self._clock = clock

    async def send(self, mail: ReportMail) -> str | Nobody:
        queued = bool(mail.recipients) and bool(await self._outbox.send(mail))
        if not mail.posts:
            return mail.detail if queued else Nobody("no address of it can be delivered to")
        posting = [Deferred.fromCoroutine(self._poster.post(post)) for post in mail.posts]
        reasons = await gatherResults(posting)
        for post, reason in zip(mail.posts, reasons, strict=True):
            if not reason:
                what = {"url": post.url, "detail": mail.detail}
                self.log.info("report posted to {url}: {detail}", event="report_posted", **what)
        failed = "; ".join(filter(None, reasons))
        if queued or not all(reasons):
            return f"{mail.detail} (not taken by {failed})" if failed else mail.detail
        if self._clock.seconds() < mail.posted_until:
            raise TemporaryFailure(failed)
        return Nobody(f"given up: {failed}"[:1000])

    def stop(self) -> None:
        """Give up what is being posted; what goes into the queue is seen to its end."""
        self._poster.stop()
