"""HTTPS as a client, against a web server on loopback: what is posted, to whom, and how it ends."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from mailgw.https.client import Answer, HttpsClient
from mailgw.https.endpoints import HttpsError
from mailgw.reports.posting import make_client
from tests.authority import Authority, Identity
from tests.fakes import FakeResolver

reactor: Any = installed_reactor
HOST = "reports.example.org"
AUTHORITY = Authority()
GOOD = AUTHORITY.issue(HOST)


class Page(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[tuple[bytes, bytes, bytes]] = []
        self.waiting: list[Any] = []

    def render_POST(self, request: Any) -> Any:
        self.posted.append((request.uri, request.getHeader(b"content-type"), request.content.read()))
        if request.path == b"/silent":
            self.waiting.append(request)
            return NOT_DONE_YET
        if request.path == b"/moved":
            request.redirect(b"/elsewhere")
        if request.path == b"/full":
            request.setResponseCode(507)
        request.setHeader(b"Content-Type", b"Text/Plain; charset=utf-8")
        return b"thanks"


def refuse(answer: Answer) -> str:
    return "" if answer.code == 200 else f"the answer is {answer.code}"


class PostTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.resolver = FakeResolver({HOST: {"A": ["127.0.0.1"]}})
        self.page = Page()
        self.serve(GOOD)
        self.client = HttpsClient(reactor, self.resolver, 10.0, trust_root=AUTHORITY.root)

    def serve(self, identity: Identity) -> None:
        port = reactor.listenSSL(0, Site(self.page), identity.options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.number = port.getHost().port

    async def post(self, path: str, body: bytes = b"report", client: Any = None) -> bytes:
        url = f"https://{HOST}:{self.number}{path}"
        answer: bytes = await (client or self.client).request(
            "POST", url, refuse, {"Content-Type": "application/tlsrpt+gzip"}, body
        )
        return answer

    async def assertProblem(self, reason: str, path: str = "/v1", client: Any = None) -> HttpsError:
        with self.assertRaises(HttpsError) as caught:
            await self.post(path, client=client)
        self.assertIn(reason, str(caught.exception))
        return caught.exception

    async def test_what_is_posted_arrives(self) -> None:
        body = bytes(range(256)) * 4000
        self.assertEqual(await self.post("/v1?token=a%20b", body), b"thanks")
        self.assertEqual(self.page.posted, [(b"/v1?token=a%20b", b"application/tlsrpt+gzip", body)])

    async def test_answers_that_are_refused(self) -> None:
        await self.assertProblem("the answer is 507", "/full")
        await self.assertProblem("the answer is 302", "/moved")
        self.assertEqual(len(self.page.posted), 2)  # no redirect is followed

    async def test_who_does_not_prove_to_be_the_host_gets_nothing(self) -> None:
        self.serve(AUTHORITY.issue("www.example.org"))
        self.assertTrue((await self.assertProblem("another name")).untrusted)
        self.serve(Authority("Other CA").issue(HOST))
        self.assertTrue((await self.assertProblem("signed by nobody whom we trust")).untrusted)
        self.serve(AUTHORITY.issue(HOST, days=-1))
        self.assertTrue((await self.assertProblem("its certificate has expired")).untrusted)
        self.serve(AUTHORITY.issue())  # Twisted's own check took such a certificate for everybody's
        self.assertTrue((await self.assertProblem("names nobody")).untrusted)
        self.assertEqual(self.page.posted, [])

    async def test_addresses_that_are_not_public(self) -> None:
        """A record of a stranger must not have us talk to what stands beside us."""
        for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "fe80::1", "0.0.0.0"):
            self.resolver.set(HOST, {"AAAA" if ":" in address else "A": [address]})
            await self.assertProblem(f"[{address}] is no public address", client=make_client(reactor, self.resolver))
        self.assertEqual(self.page.posted, [])

    async def test_hosts_that_cannot_be(self) -> None:
        for host in ("a_b.example", "-a-.example", f"{'a' * 100}.example", "a..b", "a%20b", "xn--", "*", "a.example:"):
            with self.assertRaises(HttpsError) as caught:
                await self.client.request("POST", f"https://{host}/", refuse, {}, b"report")
            self.assertIn("no certificate can have the name", str(caught.exception), host)
        for host in ("127.0.0.1", "[::1]", "0x7f.1"):  # only names are asked for
            with self.assertRaises(HttpsError) as caught:
                await self.client.request("POST", f"https://{host}:{self.number}/", refuse, {}, b"report")
            self.assertIn("has no address", str(caught.exception))
        self.assertEqual(self.page.posted, [])

    async def test_clear_text_is_not_spoken(self) -> None:
        with self.assertRaises(HttpsError):
            await self.client.request("POST", f"http://{HOST}:{self.number}/", refuse, {}, b"report")
        self.assertEqual(self.page.posted, [])

    async def test_silence(self) -> None:
        client = HttpsClient(reactor, self.resolver, 0.2, trust_root=AUTHORITY.root)
        await self.assertProblem("no answer within 0.2 s", "/silent", client)

    async def test_it_can_be_given_up(self) -> None:
        running = Deferred.fromCoroutine(self.post("/silent"))
        while not self.page.waiting:
            await deferLater(reactor, 0.01)
        running.cancel()
        with self.assertRaises(CancelledError):
            await running
