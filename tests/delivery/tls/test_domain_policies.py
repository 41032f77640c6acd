"""TLS by recipient domain: [tls_policies]."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config import schema
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.choice import AccessChooser
from mailgw.delivery.tls.client import ClientTls
from mailgw.delivery.tls.domain_policies import DomainPolicies
from mailgw.queue.item import Delayed, Delivered
from tests.delivery.peers import PLAIN_EHLO, deliveries, queued
from tests.delivery.test_loopback import CERTIFICATE, LoopbackTestCase
from tests.fakes import FakeResolver


class LookupTests(SynchronousTestCase):
    def test_the_closest_counts(self) -> None:
        policies = DomainPolicies(
            {
                "bank.example": schema.TlsPolicy("verified"),
                "*.bank.example": schema.TlsPolicy("required"),
                "old.bank.example": schema.TlsPolicy("none"),
                "grün.example": schema.TlsPolicy("required"),
            }
        )
        for domain, tls in (
            ("bank.example", "verified"),
            ("BANK.example", "verified"),
            ("a.bank.example", "required"),
            ("b.a.bank.example", "required"),
            ("old.bank.example", "none"),
            ("a.old.bank.example", "required"),
            ("xn--grn-ioa.example", "required"),
            ("notbank.example", "opportunistic"),
            ("example", "opportunistic"),
            ("[192.0.2.1]", "opportunistic"),
        ):
            self.assertEqual(policies.find(domain).access.tls, tls, domain)


class RelayTests(LoopbackTestCase):
    """right.example and wrong.example have one MX host each; only that of right.example proves its name."""

    def domain_agent(self, tls: Any) -> RelayAgent:
        zone = {
            "right.example": {"MX": [(10, "localhost")]},
            "wrong.example": {"MX": [(10, "mx.wrong.example")]},
            "mx.wrong.example": {"A": ["127.0.0.1"]},
        }
        sessions = Sessions(
            reactor,  # type: ignore[arg-type]
            FakeResolver(zone),
            schema.Relay(port=self.port, connect_timeout=1.0),
            {},
            "gw.example.org",
            self.threads,
            random.Random(1),
            ClientTls(CERTIFICATE),
            AccessChooser({name: schema.TlsPolicy(tls) for name in ("right.example", "wrong.example")}),
        )
        agent = RelayAgent(sessions, self.threads)
        self.addCleanup(lambda: Deferred.fromCoroutine(agent.close()))
        return agent

    async def outcome(self, agent: RelayAgent, domain: str) -> Any:
        (outcome,) = await agent.deliver(queued(), deliveries(f"mx:{domain}", [f"alice@{domain}"]))
        return outcome

    async def test_verified(self) -> None:
        peer = self.serve()
        agent = self.domain_agent("verified")
        outcome = await self.outcome(agent, "right.example")
        self.assertIsInstance(outcome, Delivered)
        self.assertIn("certificate verified", outcome.detail)
        refused = await self.outcome(agent, "wrong.example")
        self.assertIsInstance(refused, Delayed)
        self.assertEqual((refused.status, len(peer.contents)), ("4.7.5", 1))

    async def test_required_and_not_offered(self) -> None:
        peer = self.serve(EHLO=PLAIN_EHLO)
        outcome = await self.outcome(self.domain_agent("required"), "right.example")
        self.assertIsInstance(outcome, Delayed)
        self.assertEqual((outcome.status, peer.contents), ("4.7.4", []))

    async def test_none(self) -> None:
        self.serve()
        outcome = await self.outcome(self.domain_agent("none"), "right.example")
        self.assertIn("clear text", outcome.detail)
