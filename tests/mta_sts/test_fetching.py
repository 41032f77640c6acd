"""The text of a policy, from a web server on loopback (RFC 8461 3.3)."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from mailgw.https.client import MAX_OCTETS
from mailgw.mta_sts import fetching
from mailgw.mta_sts.fetching import FetchError, PolicyFetcher
from tests.authority import Authority, Identity
from tests.fakes import FAIL, FakeResolver

reactor: Any = installed_reactor
HOST = "mta-sts.example.org"
AUTHORITY = Authority()
GOOD = AUTHORITY.issue(HOST)
TEXT = b"version: STSv1\r\n"


class Page(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> Any:
        path = request.path.decode()
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        if path == "/silent":
            return NOT_DONE_YET
        if path == "/long":
            return b"x" * (MAX_OCTETS + 1)
        if path == "/moved":
            request.redirect(b"/policy")
        if path == "/gone":
            request.setResponseCode(404)
        if path == "/html":
            request.setHeader(b"Content-Type", b"text/html")
        if path == "/untyped":
            request.responseHeaders.removeHeader(b"Content-Type")
            request.defaultContentType = None
        return TEXT


class Raw(Protocol):
    """A web server that says what `answer` has, and closes; or says more and more, for as long as it is heard."""

    answer = b""
    again = False
    gone = False

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        if self.gone:
            return
        transport.write(self.answer if data or not self.again else b"X-Filler: 0123456789\r\n" * 1000)
        if self.again:
            reactor.callLater(0, self.dataReceived, b"")
        else:
            transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True


class FetchTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.resolver = FakeResolver({HOST: {"A": ["127.0.0.1"]}})
        self.number = 0

    def serve(self, identity: Identity = GOOD, factory: Any = None) -> None:
        port = reactor.listenSSL(0, factory or Site(Page()), identity.options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.number = port.getHost().port

    def raw(self, answer: bytes, *, again: bool = False) -> None:
        self.serve(factory=Factory.forProtocol(type("Raw", (Raw,), {"answer": answer, "again": again})))

    async def get(self, path: str = "/policy") -> bytes:
        return await PolicyFetcher(reactor, self.resolver, AUTHORITY.root, self.number)(f"https://{HOST}{path}")

    async def assertProblem(self, reason: str, path: str = "/policy") -> FetchError:
        with self.assertRaises(FetchError) as caught:
            await self.get(path)
        self.assertIn(reason, str(caught.exception))
        return caught.exception

    async def test_text(self) -> None:
        self.serve()
        self.assertEqual(await self.get(), TEXT)
        self.assertEqual({name for name, _ in self.resolver.asked}, {HOST})  # not the threads of the platform

    async def test_other_answers(self) -> None:
        """RFC 8461 3.3: a redirect is not followed."""
        self.serve()
        await self.assertProblem("the answer is 404", "/gone")
        await self.assertProblem("the answer is 302", "/moved")

    async def test_kinds(self) -> None:
        """RFC 8461 3.2: who lets others host pictures or HTML has said nothing by it."""
        self.serve()
        await self.assertProblem("not text/plain, but text/html", "/html")
        await self.assertProblem("says nothing of its kind", "/untyped")

    async def test_too_long(self) -> None:
        self.serve()
        await self.assertProblem("longer than", "/long")

    async def test_a_header_without_end(self) -> None:
        self.raw(b"HTTP/1.1 200 OK\r\n", again=True)
        self.patch(fetching, "TIME_LIMIT", 10.0)
        problem = await self.assertProblem("")
        self.assertNotIn("no answer within", str(problem))

    async def test_what_broke_off_is_not_whole(self) -> None:
        header = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        self.raw(header + b"Content-Length: 1000\r\n\r\n" + TEXT)
        await self.assertProblem("broke off")
        self.raw(header + b"\r\n" + TEXT)
        await self.assertProblem("has no length")

    async def test_silence(self) -> None:
        self.patch(fetching, "TIME_LIMIT", 0.2)
        self.serve()
        await self.assertProblem("no answer within 0.2 s", "/silent")

    async def test_given_up(self) -> None:
        self.serve()
        fetching = Deferred.fromCoroutine(self.get("/silent"))
        reactor.callLater(0.05, fetching.cancel)
        with self.assertRaises(CancelledError):
            await fetching

    async def test_silent_dns(self) -> None:
        self.patch(fetching, "TIME_LIMIT", 0.2)
        self.resolver.silent = True
        await self.assertProblem("no answer within 0.2 s")

    async def test_no_address(self) -> None:
        self.resolver.set(HOST, {})
        await self.assertProblem(f"{HOST} has no address")
        self.resolver.set(HOST, FAIL)
        await self.assertProblem("SERVFAIL")

    async def test_the_next_address(self) -> None:
        self.serve()
        self.resolver.set(HOST, {"A": ["127.0.0.2", "127.0.0.1"]})
        self.assertEqual(await self.get(), TEXT)

    async def test_nobody_listens(self) -> None:
        self.number = 1
        await self.assertProblem(f"no connection to {HOST} [127.0.0.1]")

    async def test_certificates(self) -> None:
        for identity, reason in (
            (Authority("Other CA").issue(HOST), "signed by nobody whom we trust"),
            (AUTHORITY.issue(HOST, days=-1), "has expired"),
            (AUTHORITY.issue("www.example.org"), "another name"),
        ):
            self.serve(identity)
            problem = await self.assertProblem(reason)
            self.assertTrue(problem.webpki)
