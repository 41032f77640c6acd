"""Relay over real sockets: TLS, AUTH, and a peer that reads slowly."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from attrs import evolve
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from mailgw.config import schema
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.client import ClientTls
from mailgw.develop.certificate import make_certificate
from mailgw.mail.message import FileContent, Message, head_of
from mailgw.operation.threads import Pool, ThreadsInline
from mailgw.queue.item import Delayed, Delivered
from tests.delivery.peers import ScriptedPeer, deliveries, queued
from tests.fakes import FakeResolver

P = ParamSpec("P")
T = TypeVar("T")
TLS_EHLO = b"250-mx.example\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 PIPELINING\r\n"
PEM, KEY = make_certificate(["localhost", "127.0.0.1"], datetime.datetime.now(datetime.UTC))
CERTIFICATE = Certificate.loadPEM(PEM)
# pyOpenSSL's own types for these are deprecated.
IDENTITY: Any = {"privateKey": load_pem_private_key(KEY, None), "certificate": load_pem_x509_certificate(PEM)}


class LoopbackTestCase(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.server_tls: Any = CertificateOptions(**IDENTITY)
        self.threads: Any = ThreadsInline()

    def serve(self, **script: Any) -> ScriptedPeer:
        peer = ScriptedPeer({"EHLO": TLS_EHLO, **script}, self.server_tls)
        listening = reactor.listenTCP(0, peer, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(listening.stopListening)
        self.port = listening.getHost().port
        return peer

    def agent(
        self, tls: str, host: str = "localhost", trust: Certificate | None = CERTIFICATE, **route: str
    ) -> RelayAgent:
        settings = schema.Relay(connect_timeout=1.0)
        routes = {"hop": schema.Route(hosts=(f"{host}:{self.port}",), tls=tls, **route)}  # type: ignore[arg-type]
        agent = RelayAgent(
            Sessions(
                reactor,  # type: ignore[arg-type]
                FakeResolver({"wrong.example": {"A": ["127.0.0.1"]}}),
                settings,
                routes,
                "gw.example.org",
                self.threads,
                random.Random(1),
                ClientTls(trust),
            ),
            self.threads,
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(agent.close()))
        return agent

    async def deliver(self, agent: RelayAgent, message: Any = None) -> Any:
        (outcome,) = await agent.deliver(message or queued(), deliveries("route:hop"))
        return outcome


class TlsTests(LoopbackTestCase):
    async def test_opportunistic_takes_any_certificate(self) -> None:
        peer = self.serve()
        outcome = await self.deliver(self.agent("opportunistic", "wrong.example", trust=None))
        self.assertIsInstance(outcome, Delivered)
        self.assertRegex(outcome.detail, r"TLSv1\.[23], certificate not verified")
        verbs = [line.split()[0] for line in peer.sessions[0]]
        self.assertEqual(verbs, ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA"])

    async def test_verified(self) -> None:
        self.serve()
        outcome = await self.deliver(self.agent("verified"))
        self.assertIn("certificate verified", outcome.detail)

    async def test_verified_by_address(self) -> None:
        self.serve()
        self.assertIsInstance(await self.deliver(self.agent("verified", "127.0.0.1")), Delivered)

    async def test_verified_wants_the_name_and_the_signer(self) -> None:
        for host, trust in (("wrong.example", CERTIFICATE), ("127.0.0.1", None)):
            peer = self.serve()
            outcome = await self.deliver(self.agent("verified", host, trust))
            self.assertIsInstance(outcome, Delayed)
            self.assertEqual(outcome.status, "4.7.5")
            self.assertEqual((len(peer.sessions), peer.contents), (1, []))
            self.assertIn("certificate", outcome.reason)

    async def test_implicit(self) -> None:
        self.serve()
        peer = ScriptedPeer({"EHLO": b"250 mx\r\n"})
        listening = reactor.listenTCP(  # type: ignore[attr-defined]
            0, TLSMemoryBIOFactory(self.server_tls, False, peer), interface="127.0.0.1"
        )
        self.addCleanup(listening.stopListening)
        self.port = listening.getHost().port
        outcome = await self.deliver(self.agent("implicit"))
        self.assertIn("certificate verified", outcome.detail)
        self.assertEqual(len(peer.contents), 1)

    async def test_broken_tls_falls_back_to_clear_text(self) -> None:
        self.server_tls = None  # it says 220 and goes on in clear text
        peer = self.serve()
        agent = self.agent("opportunistic")
        outcome = await self.deliver(agent)
        self.assertIsInstance(outcome, Delivered)
        self.assertIn("clear text", outcome.detail)
        self.assertEqual(len(peer.sessions), 2)

    async def test_broken_tls_is_remembered(self) -> None:
        self.server_tls = CertificateOptions()  # without a certificate no handshake comes about
        peer = self.serve()
        agent = self.agent("opportunistic")
        self.assertIsInstance(await self.deliver(agent), Delivered)
        agent.sessions.pool._settings = evolve(agent.sessions.settings, max_messages=1)
        self.assertIsInstance(await self.deliver(agent), Delivered)
        self.assertIsInstance(await self.deliver(agent), Delivered)
        self.assertEqual(
            [any("STARTTLS" in line for line in session) for session in peer.sessions], [True, False, False]
        )

    async def test_broken_tls_of_one_port_does_not_expose_another(self) -> None:
        self.server_tls = CertificateOptions()
        self.serve()
        agent = self.agent("opportunistic")
        agent.sessions.pool._settings = evolve(agent.sessions.settings, max_messages=1)
        self.assertIn("clear text", (await self.deliver(agent)).detail)
        self.server_tls = CertificateOptions(**IDENTITY)
        self.serve()
        agent.sessions._routes = {"hop": schema.Route(hosts=(f"localhost:{self.port}",))}
        self.assertIn("TLSv1", (await self.deliver(agent)).detail)

    async def test_required_never_falls_back(self) -> None:
        self.server_tls = CertificateOptions()
        peer = self.serve()
        for policy in ("required", "verified"):
            outcome = await self.deliver(self.agent(policy))
            self.assertIsInstance(outcome, Delayed)
            self.assertTrue(outcome.site_wide)
        self.assertEqual(peer.contents, [])
        peer.script["EHLO"] = b"250 mx.example\r\n"
        outcome = await self.deliver(self.agent("required"))
        self.assertEqual(outcome.status, "4.7.4")
        peer.script["EHLO"] = TLS_EHLO
        peer.script["STARTTLS"] = b"454 not now\r\n"
        outcome = await self.deliver(self.agent("required"))
        self.assertEqual((outcome.status, outcome.reply.code), ("4.7.4", 454))
        self.assertEqual(peer.contents, [])

    async def test_bytes_behind_the_reply_to_starttls(self) -> None:
        """What an attacker slips in before TLS must not be taken for what came under it."""
        for injected in (b"220 go\r\n250 mx.example\r\n", b"220 go\r\n250-mx.exam"):
            peer = self.serve(STARTTLS=injected)
            outcome = await self.deliver(self.agent("required"))
            self.assertIsInstance(outcome, Delayed)
            self.assertIn("clear text behind", outcome.reason)
            self.assertEqual(peer.contents, [])

    async def test_tls_1_1_is_too_old(self) -> None:
        self.server_tls = CertificateOptions(
            **IDENTITY,
            insecurelyLowerMinimumTo=TLSVersion.TLSv1_0,
            lowerMaximumSecurityTo=TLSVersion.TLSv1_1,
        )
        peer = self.serve()
        self.assertIsInstance(await self.deliver(self.agent("required")), Delayed)
        self.assertEqual(peer.contents, [])


class PortTests(LoopbackTestCase):
    async def test_the_next_port_of_the_same_address(self) -> None:
        """An open session that gave a 4yz ruled out all smarthosts behind its address."""
        self.server_tls = None
        plain = b"250 mx.example\r\n"
        first = self.serve(EHLO=plain, RCPT=[b"250 ok\r\n", b"450 4.2.1 later\r\n"])
        hosts = [f"127.0.0.1:{self.port}"]
        second = self.serve(EHLO=plain)
        agent = self.agent("none")
        agent.sessions._routes = {"hop": schema.Route(hosts=(*hosts, f"127.0.0.1:{self.port}"), tls="none")}
        for _ in range(2):
            self.assertIsInstance(await self.deliver(agent), Delivered)
        self.assertEqual(([len(peer.contents) for peer in (first, second)], len(first.sessions)), ([1, 1], 1))


class AuthTests(LoopbackTestCase):
    def password(self) -> dict[str, str]:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("pass\n")
        return {"username": "user", "password_file": path}

    async def test_plain_under_tls(self) -> None:
        peer = self.serve()
        outcome = await self.deliver(self.agent("required", **self.password()))
        self.assertIsInstance(outcome, Delivered)
        self.assertEqual(peer.sessions[0][3], "AUTH PLAIN AHVzZXIAcGFzcw==")

    async def test_login_where_plain_is_not_offered(self) -> None:
        """Exchange and Office 365 offer LOGIN, and no PLAIN."""
        ehlo = b"250-mx.example\r\n250-STARTTLS\r\n250-AUTH LOGIN XOAUTH2\r\n250 PIPELINING\r\n"
        steps = {"AUTH": b"334 VXNlcm5hbWU6\r\n", "DXNLCG==": b"334 UGFzc3dvcmQ6\r\n", "CGFZCW==": b"235 2.7.0 yes\r\n"}
        peer = self.serve(EHLO=ehlo, **steps)
        self.assertIsInstance(await self.deliver(self.agent("required", **self.password())), Delivered)
        self.assertEqual(peer.sessions[0][3:6], ["AUTH LOGIN", "dXNlcg==", "cGFzcw=="])
        for step in steps:
            peer = self.serve(EHLO=ehlo, **{**steps, step: b"535 5.7.8 no\r\n"})
            outcome = await self.deliver(self.agent("required", **self.password()))
            self.assertEqual((outcome.status, outcome.reply.code), ("4.7.4", 535), step)
            self.assertEqual(peer.contents, [])

    async def test_mechanisms_that_are_none_of_ours_are_named(self) -> None:
        self.serve(EHLO=b"250-mx.example\r\n250-STARTTLS\r\n250 AUTH XOAUTH2 GSSAPI\r\n")
        outcome = await self.deliver(self.agent("required", **self.password()))
        self.assertIn("it offers neither AUTH PLAIN nor LOGIN, but GSSAPI, XOAUTH2", outcome.reason)

    async def test_never_in_clear_text(self) -> None:
        peer = self.serve(EHLO=b"250-mx.example\r\n250 AUTH PLAIN\r\n")
        for policy in ("none", "opportunistic"):
            outcome = await self.deliver(self.agent(policy, **self.password()))
            self.assertIsInstance(outcome, Delayed)
        self.server_tls = CertificateOptions()
        peer = self.serve()
        outcome = await self.deliver(self.agent("opportunistic", **self.password()))
        self.assertIsInstance(outcome, Delayed)
        self.assertNotIn("AUTH", str(peer.sessions))

    async def test_refused(self) -> None:
        peer = self.serve(AUTH=b"535 5.7.8 no\r\n")
        outcome = await self.deliver(self.agent("required", **self.password()))
        self.assertIsInstance(outcome, Delayed)
        self.assertEqual((outcome.site_wide, outcome.reply.code), (True, 535))
        self.assertNotIn("cGFzcw", repr(outcome))
        self.assertEqual(peer.contents, [])

    async def test_the_next_smarthost_where_one_does_not_take_it(self) -> None:
        first = self.serve(AUTH=b"535 5.7.8 no\r\n")
        hosts = [f"localhost:{self.port}"]
        second = self.serve()
        agent = self.agent("required", **self.password())
        route = evolve(agent.sessions._routes["hop"], hosts=(*hosts, f"localhost:{self.port}"))
        agent.sessions._routes = {"hop": route}
        self.assertIsInstance(await self.deliver(agent), Delivered)
        self.assertEqual((first.contents, len(second.contents)), ([], 1))

    async def test_password_file_that_is_gone(self) -> None:
        self.serve()
        outcome = await self.deliver(self.agent("required", username="user", password_file="/nonexistent"))
        self.assertEqual(outcome.status, "4.3.5")
        self.assertIn("/nonexistent", outcome.reason)


class CountingThreads:
    """Counts the pieces that are read."""

    def __init__(self, inner: Pool) -> None:
        self.inner = inner
        self.count = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.count += 1
        return await self.inner.run(work, *args, **kwargs)


class BackPressureTests(LoopbackTestCase):
    async def test_a_slow_peer_does_not_fill_our_memory(self) -> None:
        pool = Pool(reactor, "test", 1)  # type: ignore[arg-type]
        pool.start()
        self.addCleanup(pool.stop)
        self.threads = counting = CountingThreads(pool)
        for ehlo in (b"250-mx.example\r\n250 8BITMIME\r\n", TLS_EHLO):
            counting.count = 0
            content = b"Subject: x\r\n\r\n" + b"x" * 70 + (b"\r\n." + b"y" * 76) * 400_000 + b"\r\n"
            path = self.mktemp()
            with open(path, "wb") as file:
                file.write(content)
            message = evolve(queued(), message=Message(FileContent(path, len(content)), head_of(content)))
            peer = self.serve(EHLO=ehlo)
            slow = SlowPeer(peer)
            attempt = Deferred.fromCoroutine(self.deliver(self.agent("opportunistic"), message))
            await slow.stopped
            before = -1
            while counting.count != before:  # until what fits into the sockets is in them
                before = counting.count
                await deferLater(reactor, 0.2, lambda: None)  # type: ignore[arg-type]
            self.assertLess(counting.count * 256 * 1024, len(content) / 2)
            slow.go_on()
            self.assertIsInstance(await attempt, Delivered)
            self.assertEqual(slow.received, len(content) + content.count(b"\r\n."))


class SlowPeer:
    """Makes a scripted peer stop reading at DATA, until `go_on`; then it only counts."""

    def __init__(self, peer: ScriptedPeer) -> None:
        self.stopped: Deferred[None] = Deferred()
        self.received = 0
        self.session: Any = None
        build = peer.buildProtocol

        def build_slow(addr: object) -> Any:
            session: Any = build(addr)
            command = session.command

            def at_data(line: bytes) -> None:
                command(line)
                if line == b"DATA":
                    self.session = session
                    session.transport.pauseProducing()
                    session.dataReceived = self.count
                    self.stopped.callback(None)

            session.command = at_data
            return session

        peer.buildProtocol = build_slow  # type: ignore[method-assign]
        self.tail = b""

    def go_on(self) -> None:
        self.session.transport.resumeProducing()

    def count(self, data: bytes) -> None:
        self.received += len(data)
        self.tail = (self.tail + data)[-5:]
        if self.tail == b"\r\n.\r\n":
            self.received -= 3
            self.session.content = None
            del self.session.dataReceived
            self.session.transport.write(b"250 2.0.0 counted\r\n")
