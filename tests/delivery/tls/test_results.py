"""What the reports on TLS are told of sessions with MX hosts (RFC 8460 4.2, 4.3)."""

from __future__ import annotations

import random
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock

from mailgw.config import schema
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.choice import AccessChooser
from mailgw.delivery.tls.client import ClientTls
from mailgw.mail.tlsresult import AppliedPolicy, TlsResult
from mailgw.mta_sts.finder import PolicyFinder
from mailgw.queue.item import Delayed, Delivered
from tests.authority import Authority
from tests.delivery.peers import HANG_UP, ScriptedPeer, deliveries, queued
from tests.delivery.test_loopback import CERTIFICATE, LoopbackTestCase
from tests.fakes import FakeResolver
from tests.mta_sts.case import MemoryStore, Web

HOST = "mx1.dest.example"
AUTHORITY = Authority()
IDENTITY_OF_HOST = AUTHORITY.issue(HOST)
ZONE: dict[str, Any] = {
    "dest.example": {"MX": [(10, HOST)]},
    "xn--bcher-kva.example": {"MX": [(10, HOST)]},
    HOST: {"A": ["127.0.0.1"]},
}


class ResultTestCase(LoopbackTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen: list[TlsResult] = []
        self.zone = ZONE
        self.trust: Any = CERTIFICATE

    def mx_agent(self, port: int | None = None, finder: Any = None, **policies: str) -> RelayAgent:
        chooser = AccessChooser(
            {"dest.example": schema.TlsPolicy(**policies)} if policies else {},  # type: ignore[arg-type]
            finder,
            self.seen.append,
        )
        sessions = Sessions(
            reactor,  # type: ignore[arg-type]
            FakeResolver(self.zone),
            schema.Relay(connect_timeout=1.0, port=port or self.port),
            {"hop": schema.Route(hosts=(f"127.0.0.1:{self.port}",))},
            "gw.example.org",
            self.threads,
            random.Random(1),
            ClientTls(self.trust),
            chooser,
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


class SessionTests(ResultTestCase):
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


class StsTests(ResultTestCase):
    """Towards a domain with an MTA-STS policy."""

    def setUp(self) -> None:
        super().setUp()
        self.trust = AUTHORITY.root

    def sts_agent(self, mode: str, *exchanges: str) -> RelayAgent:
        resolver = FakeResolver({"_mta-sts.dest.example": {"TXT": ["v=STSv1; id=1"]}})
        web = Web()
        lines = ("version: STSv1", f"mode: {mode}", *(f"mx: {name}" for name in exchanges), "max_age: 86400", "")
        web.answer = "\n".join(lines).encode()
        self.policy = AppliedPolicy("sts", lines[:-1], exchanges)
        return self.mx_agent(finder=PolicyFinder(resolver, web, MemoryStore(), Clock()))

    async def test_a_policy_that_is_only_tested(self) -> None:
        """4.3, RFC 8461 5: what would have ended the session is a failure, and mail goes on."""
        self.server_tls = AUTHORITY.issue("other.example").options()
        self.serve()
        self.assertIsInstance(await self.send(self.sts_agent("testing", HOST)), Delivered)
        (result,) = self.seen
        self.assertEqual((result.policy, result.failure), (self.policy, "certificate-host-mismatch"))

    async def test_a_host_that_a_policy_which_is_only_tested_does_not_name(self) -> None:
        self.server_tls = IDENTITY_OF_HOST.options()
        self.serve()
        agent = self.sts_agent("testing", "other.example")
        for _ in range(3):
            self.assertIsInstance(await self.send(agent), Delivered)
        (result,) = self.seen  # one session
        self.assertEqual((result.policy, result.mx_host, result.failure), (self.policy, HOST, "validation-failure"))

    async def test_hosts_that_are_passed_over(self) -> None:
        self.server_tls = IDENTITY_OF_HOST.options()
        self.serve()
        self.zone = {**ZONE, "dest.example": {"MX": [(5, "first.example"), (10, HOST), (20, "last.example")]}}
        agent = self.sts_agent("enforce", HOST)
        for _ in range(3):
            self.assertIsInstance(await self.send(agent), Delivered)
        success, passed = self.seen
        self.assertEqual(success, TlsResult("dest.example", self.policy))
        wanted = (self.policy, "first.example", "validation-failure")
        self.assertEqual((passed.policy, passed.mx_host, passed.failure), wanted)

    async def test_a_report_is_not_stopped_by_what_it_is_about(self) -> None:
        """RFC 8460 5.3: neither MTA-STS nor DANE is honoured for reports."""
        self.serve(EHLO=b"250 mx.example\r\n")
        message = queued(b"TLS-Required: No\r\nSubject: a report\r\n\r\n")
        for names in (HOST, "other.example"):
            agent = self.sts_agent("enforce", names)
            self.assertIsInstance(await self.send(agent, message=message), Delivered)
            self.assertIsInstance(await self.send(agent, "mx-any-tls:dest.example", message), Delivered)
        self.assertEqual(self.seen, [])
        self.assertIsInstance(await self.send(agent), Delayed)
