"""What the reports on TLS are told of sessions with MX hosts (RFC 8460 4.2, 4.3)."""

from __future__ import annotations

import random
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import CertificateOptions

from mailgw.config import schema
from mailgw.delivery.choice import AccessChooser
from mailgw.delivery.clienttls import ClientTls
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.mail.tlsresult import TlsResult
from mailgw.queue.item import Delayed, Delivered
from tests.delivery.peers import HANG_UP, ScriptedPeer, deliveries, queued
from tests.delivery.test_loopback import CERTIFICATE, LoopbackTestCase
from tests.fakes import FakeResolver

HOST = "mx1.dest.example"
ZONE: dict[str, Any] = {
    "dest.example": {"MX": [(10, HOST)]},
    "xn--bcher-kva.example": {"MX": [(10, HOST)]},
    HOST: {"A": ["127.0.0.1"]},
}


class TlsResultTests(LoopbackTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen: list[TlsResult] = []

    def mx_agent(self, port: int | None = None, **policies: str) -> RelayAgent:
        sessions = Sessions(
            reactor,  # type: ignore[arg-type]
            FakeResolver(ZONE),
            schema.Relay(connect_timeout=1.0, port=port or self.port),
            {"hop": schema.Route(hosts=(f"127.0.0.1:{self.port}",))},
            "gw.example.org",
            self.threads,
            random.Random(1),
            ClientTls(CERTIFICATE),
            AccessChooser({"dest.example": schema.TlsPolicy(**policies)} if policies else {}),  # type: ignore[arg-type]
            self.seen.append,
        )
        agent = RelayAgent(sessions, self.threads)
        self.addCleanup(lambda: Deferred.fromCoroutine(agent.close()))
        return agent

    async def send(self, agent: RelayAgent, target: str = "mx:dest.example", message: Any = None) -> Any:
        (outcome,) = await agent.deliver(message or queued(), deliveries(target))
        return outcome

    def failed(self, failure: str, reason: str = "^$") -> TlsResult:
        """The only thing seen, but for its reason, which is to match."""
        (result,) = self.seen
        self.assertRegex(result.reason, reason)
        expected = TlsResult(
            "dest.example",
            failure=failure,  # type: ignore[arg-type]
            sending_ip="127.0.0.1",
            mx_host=HOST,
            receiving_ip="127.0.0.1",
            helo="mx.example",
            reason=result.reason,
        )
        self.assertEqual(result, expected)
        return result

    async def test_a_session_under_tls_counts_once_however_many_messages_go_over_it(self) -> None:
        """4.4: the counts are of connections."""
        peer = self.serve()
        agent = self.mx_agent()
        for _ in range(3):
            self.assertIsInstance(await self.send(agent), Delivered)
        self.assertEqual((len(peer.sessions), len(peer.contents)), (1, 3))
        self.assertEqual(self.seen, [TlsResult("dest.example")])

    async def test_without_starttls(self) -> None:
        self.serve(EHLO=b"250 mx.example\r\n")
        self.assertIsInstance(await self.send(self.mx_agent()), Delivered)
        self.failed("starttls-not-supported")

    async def test_without_starttls_where_it_is_required(self) -> None:
        self.serve(STARTTLS=b"454 4.7.0 not now\r\n")
        self.assertIsInstance(await self.send(self.mx_agent(tls="required")), Delayed)
        self.failed("starttls-not-supported", "^454 4.7.0 not now$")

    async def test_a_handshake_that_fails_is_one_failure_though_clear_text_follows(self) -> None:
        self.server_tls = CertificateOptions()  # without a certificate
        peer = self.serve()
        agent = self.mx_agent()
        self.assertIsInstance(await self.send(agent), Delivered)
        self.assertEqual(len(peer.sessions), 2)
        self.failed("validation-failure", "^failed in TLS: ")
        # While it is known to be broken, TLS is not attempted: that is no session to report.
        agent.sessions.pool._settings = evolve(agent.sessions.settings, max_messages=1)
        await self.send(agent)
        self.assertEqual(len(self.seen), 1)

    async def test_a_certificate_that_is_not_good(self) -> None:
        self.serve()
        self.assertIsInstance(await self.send(self.mx_agent(tls="verified")), Delayed)
        self.failed("certificate-host-mismatch", "^has a certificate that is for another name$")

    async def test_what_never_came_to_tls_is_not_told(self) -> None:
        """4.3.4: transient errors are not required to be reported."""
        for step, answer in (("greeting", b"421 busy\r\n"), ("greeting", HANG_UP), ("EHLO", b"554 no\r\n")):
            self.serve(**{step: answer})
            self.assertIsInstance(await self.send(self.mx_agent()), Delayed)
        self.assertIsInstance(await self.send(self.mx_agent(port=1)), Delayed)
        self.assertEqual(self.seen, [])

    async def test_a_session_that_breaks_under_tls_was_one_under_tls(self) -> None:
        peer: ScriptedPeer = self.serve()
        peer.script["EHLO"] = [peer.script["EHLO"], b"421 4.3.2 too busy\r\n"]
        self.assertIsInstance(await self.send(self.mx_agent()), Delayed)
        self.assertEqual(self.seen, [TlsResult("dest.example")])

    async def test_routes_and_addresses_have_no_domain_to_tell(self) -> None:
        self.serve()
        agent = self.mx_agent()
        await self.send(agent, "route:hop")
        await self.send(agent, "mx:[127.0.0.1]")
        self.assertEqual(self.seen, [])

    async def test_clear_text_that_is_configured_is_not_told(self) -> None:
        self.serve()
        await self.send(self.mx_agent(tls="none"))
        self.assertEqual(self.seen, [])

    async def test_sessions_for_reports_are_not_told(self) -> None:
        """RFC 8460 3: a report's own session is not in the next report."""
        self.serve(EHLO=b"250 mx.example\r\n")
        message = queued(b"TLS-Required: No\r\nSubject: a report\r\n\r\n")
        self.assertIsInstance(await self.send(self.mx_agent(), message=message), Delivered)
        self.assertEqual(self.seen, [])

    async def test_names_are_a_labels(self) -> None:
        self.serve()
        await self.send(self.mx_agent(), "mx:BÜCHER.example")
        self.assertEqual(self.seen, [TlsResult("xn--bcher-kva.example")])
