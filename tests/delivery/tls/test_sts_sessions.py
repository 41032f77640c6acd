"""Sessions with the MX hosts of a domain that has an MTA-STS policy: what holds, and what is reported (RFC 8461 5)."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import TLSVersion

from mailgw.config import schema
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.choice import AccessChooser
from mailgw.delivery.tls.client import ClientTls
from mailgw.mail.tlsresult import TlsResult
from mailgw.mta_sts.finder import PolicyFinder
from mailgw.queue.item import Delayed, Delivered, Failed
from tests.authority import Authority
from tests.delivery.peers import deliveries, queued
from tests.delivery.test_loopback import LoopbackTestCase
from tests.fakes import FakeResolver
from tests.mta_sts.case import MemoryStore, Web

HOST = "mx.dest.example"
POLICY = "version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 604800\n"
AUTHORITY = Authority()
PLAIN = b"250 mx.example\r\n"


class StsSessionTests(LoopbackTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen: list[TlsResult] = []
        self.server_tls = AUTHORITY.issue(HOST).options()

    async def send(self, mode: str, mx: str = HOST, message: Any = None, *, smarthost: str = "", **policy: Any) -> Any:
        """Send one message; the policy has that mode and names that host. `smarthost`: by a route with that `tls`."""
        zone = {
            "dest.example": {"MX": [(10, HOST)]},
            HOST: {"A": ["127.0.0.1"]},
            "_mta-sts.dest.example": {"TXT": ["v=STSv1; id=1"]},
            f"_mta-sts.{HOST}": {"TXT": ["v=STSv1; id=1"]} if smarthost else {},
        }
        resolver, network = FakeResolver(zone), reactor
        finder = PolicyFinder(resolver, Web(POLICY.format(mode=mode, mx=mx).encode()), MemoryStore(), network)  # type: ignore[arg-type]
        policies = {domain: schema.TlsPolicy(**policy) for domain in ("dest.example", HOST)} if policy else {}
        route = schema.Route((f"{HOST}:{self.port}",), tls=smarthost or "none")  # type: ignore[arg-type]
        sessions = Sessions(
            network,  # type: ignore[arg-type]
            resolver,
            schema.Relay(connect_timeout=1.0, port=self.port),
            {"smart": route},
            "gw.example.org",
            self.threads,
            random.Random(1),
            ClientTls(AUTHORITY.root),
            AccessChooser(policies, finder, self.seen.append),
            self.seen.append,
        )
        agent = RelayAgent(sessions, self.threads)
        self.addCleanup(lambda: Deferred.fromCoroutine(agent.close()))
        (outcome,) = await agent.deliver(
            message or queued(), deliveries("route:smart" if smarthost else "mx:dest.example")
        )
        return outcome

    def reported(self) -> tuple[str, str, str]:
        """The only thing reported: kind of policy, failure, reason."""
        (result,) = self.seen
        return result.policy.type, result.failure, result.reason

    async def test_enforced_and_fulfilled(self) -> None:
        self.serve()
        outcome = await self.send("enforce")
        self.assertIsInstance(outcome, Delivered)
        self.assertIn("certificate verified", outcome.detail)
        self.assertEqual(self.reported(), ("sts", "", ""))

    async def test_enforced_and_not_fulfilled(self) -> None:
        for identity, failure, words in (
            (AUTHORITY.issue("www.dest.example"), "certificate-host-mismatch", "is for another name"),
            (AUTHORITY.issue(HOST, days=-1), "certificate-expired", "has expired"),
            (Authority("Other").issue(HOST), "certificate-not-trusted", "is signed by nobody whom we trust"),
        ):
            self.seen.clear()
            self.server_tls = identity.options()
            peer = self.serve()
            outcome = await self.send("enforce")
            self.assertIsInstance(outcome, Delayed)
            self.assertEqual((outcome.status, outcome.site_wide), ("4.7.5", False))
            self.assertIn(words, outcome.reason)
            self.assertIn("the domain's MTA-STS policy demands", outcome.reason)
            self.assertEqual(self.reported()[:2], ("sts", failure))
            self.assertEqual((len(peer.sessions), peer.contents), (1, []))

    async def test_enforced_and_no_starttls(self) -> None:
        peer = self.serve(EHLO=PLAIN)
        outcome = await self.send("enforce")
        self.assertEqual((outcome.status, peer.contents), ("4.7.4", []))
        self.assertIn("the domain's MTA-STS policy demands", outcome.reason)
        self.assertEqual(self.reported()[:2], ("sts", "starttls-not-supported"))

    async def test_tested_and_not_fulfilled(self) -> None:
        """RFC 8461 5: mail goes on, and the domain hears what would have failed."""
        self.server_tls = AUTHORITY.issue(HOST, days=-1).options()
        self.serve()
        outcome = await self.send("testing")
        self.assertIsInstance(outcome, Delivered)
        self.assertIn("certificate not verified: it has expired", outcome.detail)
        self.assertEqual(self.reported()[:2], ("sts", "certificate-expired"))
        self.assertIn("it has expired", self.reported()[2])

    async def test_tested_and_no_starttls(self) -> None:
        self.serve(EHLO=PLAIN)
        self.assertIsInstance(await self.send("testing"), Delivered)
        self.assertEqual(self.reported()[:2], ("sts", "starttls-not-supported"))

    async def test_tested_and_not_named(self) -> None:
        self.serve()
        self.assertIsInstance(await self.send("testing", "old.dest.example"), Delivered)
        self.assertEqual(self.reported(), ("sts", "validation-failure", "the MTA-STS policy does not name the host"))

    async def test_tested_and_fulfilled(self) -> None:
        self.serve()
        outcome = await self.send("testing")
        self.assertIn("certificate verified", outcome.detail)
        self.assertEqual(self.reported(), ("sts", "", ""))

    async def test_a_message_that_requires_tls(self) -> None:
        """RFC 8689 4.2.1: the policy says that the MX host is the domain's; without one nothing does."""
        peer = self.serve(EHLO=b"250-mx.example\r\n250-STARTTLS\r\n250-REQUIRETLS\r\n250 PIPELINING\r\n")
        for mode in ("enforce", "testing"):
            self.assertIsInstance(await self.send(mode, message=queued(requiretls=True)), Delivered)
            self.assertIn("MAIL FROM:<bob@example.net> REQUIRETLS", peer.sessions[-1])
        outcome = await self.send("none", message=queued(requiretls=True))
        self.assertIsInstance(outcome, Failed)
        self.assertEqual((outcome.status, len(peer.sessions)), ("5.7.10", 2))

    async def test_a_smarthost(self) -> None:
        """RFC 8461 3.4: its name is the Policy Domain."""
        peer = self.serve()
        for tls in ("opportunistic", "required"):
            self.assertIn("certificate verified", (await self.send("enforce", smarthost=tls)).detail)
        refused = await self.send("enforce", "other.example", smarthost="opportunistic")
        self.assertIsInstance(refused, Delayed)
        self.assertIn(f'[tls_policies."{HOST}"]', refused.reason)
        self.server_tls = AUTHORITY.issue(HOST, days=-1).options()
        peer = self.serve()
        self.assertIn("has expired", (await self.send("enforce", smarthost="opportunistic")).reason)
        self.assertEqual(peer.contents, [])
        for mode, tls, policy in (
            ("testing", "opportunistic", {}),
            ("enforce", "none", {}),
            ("enforce", "opportunistic", {"tls": "opportunistic", "ignore": ("mta-sts",)}),
        ):
            self.assertIsInstance(await self.send(mode, smarthost=tls, **policy), Delivered)
        self.assertEqual(len(peer.contents), 3)

    async def test_ignored(self) -> None:
        self.server_tls = AUTHORITY.issue(HOST, days=-1).options()
        self.serve()
        outcome = await self.send("enforce", "old.dest.example", tls="opportunistic", ignore=("mta-sts",))
        self.assertIsInstance(outcome, Delivered)
        self.assertEqual(self.reported(), ("no-policy-found", "", ""))

    async def test_a_newer_tls_than_the_host_has(self) -> None:
        self.server_tls = AUTHORITY.issue(HOST).options(lowerMaximumSecurityTo=TLSVersion.TLSv1_2)
        self.serve()
        self.assertIsInstance(await self.send("enforce"), Delivered)
        outcome = await self.send("enforce", minimum_version="1.3")
        self.assertIsInstance(outcome, Delayed)
        self.assertEqual(outcome.status, "4.7.5")
