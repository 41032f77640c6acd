"""Both families over real sockets: what the system says at once of a family that is not there, and fallback."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from mailgw.queue.item import Delivered
from tests.delivery.peers import deliveries, queued
from tests.delivery.test_loopback import LoopbackTestCase
from tests.fakes import FakeResolver

# TCP goes to no group of hosts: the kernel says ENETUNREACH at once, as it does to a host without IPv6.
NO_WAY = "ff0e::25"


class FamilyTests(LoopbackTestCase):
    async def send_to(self, *addresses: str, **settings: Any) -> Any:
        """One attempt at a host with these IPv6 addresses and 127.0.0.1."""
        agent = self.agent("none", "both.example")
        agent.sessions.exchangers._resolver = FakeResolver({"both.example": {"A": ["127.0.0.1"], "AAAA": addresses}})
        changed = evolve(agent.sessions.settings, family="ipv6_first", **settings)
        agent.sessions.become(changed, agent.sessions._routes, {})
        (outcome,) = await agent.deliver(queued(), deliveries("route:hop"))
        return outcome

    async def test_an_ipv6_that_is_not_there_costs_no_try(self) -> None:
        peer = self.serve()
        outcome = await self.send_to(NO_WAY, max_addresses=1)
        self.assertIsInstance(outcome, Delivered)
        self.assertEqual(len(peer.contents), 1)

    async def test_a_source_address_that_went_away_is_no_fault_of_the_host(self) -> None:
        peer = self.serve()
        outcome = await self.send_to("::1", source_addresses=("127.0.0.1", "2001:db8::1"), max_addresses=1)
        self.assertIsInstance(outcome, Delivered)
        self.assertEqual(len(peer.contents), 1)
        outcome = await self.send_to(source_addresses=("198.51.100.77",))
        self.assertIn(" from 198.51.100.77: ", outcome.reason)
        self.assertIsInstance(await self.send_to(), Delivered)

    async def test_ipv4_within_the_attempt_where_ipv6_is_refused(self) -> None:
        self.serve()
        outcome = await self.send_to("::1")
        self.assertEqual((type(outcome), outcome.remote), (Delivered, "both.example [127.0.0.1]"))
