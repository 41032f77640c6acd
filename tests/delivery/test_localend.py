"""Our end: source addresses, EHLO names and address families, for MX hosts and by route."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config import schema
from mailgw.delivery.callahead import CallAhead
from mailgw.delivery.localend import LocalEnd, check_sources
from mailgw.mail.address import Mailbox
from mailgw.queue.item import Delayed, Delivered, Destination, Failed
from mailgw.routing.interface import Target
from tests.config.files import BASE, ConfigurationTest
from tests.delivery.peers import SILENT, deliveries
from tests.delivery.test_relay import HOP, RelayTestCase
from tests.fakes import FakeResolver

A, AAAA = "192.0.2.10", "2001:db8::10"


class EndsTestCase(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.resolver = FakeResolver(
            {
                "example.org": {"MX": [(10, "both.example.org"), (20, "last.example.org")]},
                "both.example.org": {"A": [A, "192.0.2.11"], "AAAA": [AAAA, "2001:db8::11"]},
                "last.example.org": {"A": ["192.0.2.20"]},
                "six.example": {"MX": [(10, "six.example")], "AAAA": [AAAA]},
                "half.example": {"MX": [(10, "half.example")], "A": "FAIL", "AAAA": [AAAA]},
            }
        )

    def to(self, domain: str = "example.org", **settings: Any) -> Any:
        """One attempt with these settings of [relay]."""
        self.agent = self.make_agent(**settings)
        self.network.connected.clear()
        (outcome,) = self.deliver(to=deliveries(f"mx:{domain}"))
        return outcome


class SourceTests(EndsTestCase):
    def test_by_family(self) -> None:
        self.to(source_addresses=("192.0.2.1", "2001:db8::1"))
        self.assertEqual(self.network.sources[A], ("192.0.2.1", 0))
        self.assertEqual(self.network.sources[AAAA], ("2001:db8::1", 0))

    def test_a_family_without_one_is_the_systems(self) -> None:
        self.to(source_addresses=("2001:db8::1",))
        self.assertIsNone(self.network.sources[A])
        self.assertEqual(self.network.sources[AAAA], ("2001:db8::1", 0))

    def test_by_route(self) -> None:
        self.routes["own"] = schema.Route(hosts=(HOP,), source_addresses=("192.0.2.2",), helo="out2.example.org")
        self.routes["usual"] = schema.Route(hosts=(HOP,))
        peer = self.peer()
        self.agent = self.make_agent(source_addresses=("192.0.2.1",), helo="out.example.org")
        for route, source, name in (("own", "192.0.2.2", "out2"), ("usual", "192.0.2.1", "out")):
            self.deliver(to=deliveries(f"route:{route}"))
            self.assertEqual(self.network.sources[HOP], (source, 0))
            self.assertEqual(peer.sessions[-1][0], f"EHLO {name}.example.org")
        self.assertEqual(len(peer.sessions), 2)  # no connection of the other is used

    def test_the_reason_names_it(self) -> None:
        outcome = self.to(source_addresses=("192.0.2.1",))
        self.assertIn("port 25 from 192.0.2.1: ", outcome.reason)


class FamilyTests(EndsTestCase):
    def test_both_in_turn(self) -> None:
        self.to()
        self.assertEqual(self.network.connected, [A, AAAA, "192.0.2.11", "2001:db8::11", "192.0.2.20"])
        self.to(family="ipv6_first")
        self.assertEqual(self.network.connected, [AAAA, A, "2001:db8::11", "192.0.2.11", "192.0.2.20"])

    def test_one_alone(self) -> None:
        self.to(family="ipv4")
        self.assertEqual(self.network.connected, [A, "192.0.2.11", "192.0.2.20"])
        self.assertNotIn("AAAA", {type for _, type in self.resolver.asked})
        self.to(family="ipv6")
        self.assertEqual(self.network.connected, [AAAA, "2001:db8::11"])

    def test_the_other_family_within_the_attempt(self) -> None:
        self.peer(A)
        self.assertEqual(self.to(family="ipv6_first").remote, f"both.example.org [{A}]")
        self.assertEqual(self.network.connected, [AAAA, A])

    def test_a_host_without_the_only_family(self) -> None:
        outcome = self.to("six.example", family="ipv4")
        self.assertIsInstance(outcome, Failed)
        self.assertEqual(outcome.status, "5.4.4")
        self.assertEqual(
            outcome.reason, "the host six.example has no IPv4 address, and no other is used: family is ipv4"
        )

    def test_a_family_that_dns_does_not_tell_is_waited_for_where_it_is_the_only_one(self) -> None:
        self.assertEqual(self.to("half.example", family="ipv4").status, "4.4.3")
        self.peer(AAAA)
        self.assertIsInstance(self.to("half.example"), Delivered)

    def test_by_route(self) -> None:
        self.routes["six"] = schema.Route(hosts=("both.example.org", "localhost"), family="ipv6")
        self.routes["usual"] = schema.Route(hosts=("localhost",))
        self.agent = self.make_agent(family="ipv4")
        self.deliver(to=deliveries("route:six"))
        self.assertEqual(self.network.connected, [AAAA, "2001:db8::11", "::1"])
        self.network.connected.clear()
        self.deliver(to=deliveries("route:usual"))
        self.assertEqual(self.network.connected, ["127.0.0.1"])


class NoWayTests(EndsTestCase):
    """A host without IPv6 here must not lose tries, nor words, to it."""

    def setUp(self) -> None:
        super().setUp()
        self.sixes = [f"2001:db8::a:{number}" for number in range(9)]
        self.resolver.set("example.org", {"MX": [(10, "six.example.org"), (20, "last.example.org")]})
        self.resolver.set("six.example.org", {"AAAA": self.sixes})
        self.network.unreachable.update(self.sixes)

    def test_it_costs_no_try(self) -> None:
        self.peer("192.0.2.20")
        self.assertIsInstance(self.to(max_addresses=1), Delivered)
        self.assertEqual(self.network.connected, [*self.sixes, "192.0.2.20"])

    def test_refused_connections_do(self) -> None:
        self.network.unreachable.clear()
        self.peer("192.0.2.20")
        self.assertIsInstance(self.to(max_addresses=5), Delayed)
        self.assertEqual(self.network.connected, self.sixes[:5])

    def test_the_reason_is_that_of_the_host_that_was_asked(self) -> None:
        self.assertIn("no connection to last.example.org [192.0.2.20]", self.to().reason)
        self.peer("192.0.2.20", greeting=b"421 4.3.2 busy\r\n")
        self.assertIn("421", str(self.to().reply))

    def test_no_way_at_all(self) -> None:
        self.network.unreachable.add("192.0.2.20")
        outcome = self.to()
        self.assertEqual((outcome.status, outcome.site_wide), ("4.4.1", True))
        self.assertIn("unreachable", outcome.reason)

    def test_questions_about_recipients(self) -> None:
        self.routes["hop"] = schema.Route(hosts=("six.example.org", "last.example.org"))
        self.peer("192.0.2.20", RCPT=b"550 5.1.1 who?\r\n")
        self.agent = self.make_agent(max_addresses=1)
        verifier = CallAhead(self.agent.sessions, self.network, 30.0)
        target = Target(Mailbox("alice", "example.org"), Destination("relay", "route:hop"))
        asked = Deferred.fromCoroutine(verifier.verify(target))
        self.network.run()
        self.assertIs(self.successResultOf(asked).known, False)


class ChangeTests(EndsTestCase):
    """Another configuration while connections are open."""

    def change(self, **settings: Any) -> None:
        self.agent.sessions.become(schema.Relay(**settings), dict(self.routes), {})
        self.network.run()

    def test_an_open_session_serves_no_message_of_the_new_one(self) -> None:
        peer = self.peer()
        self.deliver()
        self.change(helo="new.example.org")
        self.assertEqual(peer.open, 0)
        self.deliver()
        self.assertEqual([session[0] for session in peer.sessions], ["EHLO gw.example.org", "EHLO new.example.org"])

    def test_one_in_the_middle_of_a_message_ends_behind_it(self) -> None:
        peer = self.peer(end=SILENT)
        attempt = self.start()
        self.change(helo="new.example.org")
        peer.last.transport.write(b"250 2.0.0 queued\r\n")
        self.network.run()
        self.assertIsInstance(self.successResultOf(attempt)[0], Delivered)
        self.assertEqual((peer.open, peer.sessions[0][-1]), (0, "QUIT"))

    def test_a_route_that_changed_and_one_that_is_gone(self) -> None:
        self.peer("192.0.2.9")
        self.deliver()
        self.routes["hop"] = schema.Route(hosts=("192.0.2.9",))
        del self.routes["two"]
        self.change()
        self.assertEqual(self.deliver()[0].remote, "192.0.2.9")
        self.assertIn("there is no [routes.two]", self.deliver(to=deliveries("route:two"))[0].reason)

    def test_the_same_one_changes_nothing(self) -> None:
        peer = self.peer()
        self.deliver()
        self.change()
        self.deliver()
        self.assertEqual(len(peer.sessions), 1)


class LocalEndTests(SynchronousTestCase):
    def test_the_hostname_is_said_where_nothing_else_is(self) -> None:
        self.assertEqual(LocalEnd.of("gw.example.org", schema.Relay()).name, "gw.example.org")


class CheckTests(ConfigurationTest):
    def test_an_address_that_is_not_ours(self) -> None:
        settings = self.settings(
            BASE + '[relay]\nsource_addresses = ["127.0.0.1"]\n'
            '[routes.far]\nhosts = ["a.example"]\nsource_addresses = ["198.51.100.77"]\n'
        )
        (error,) = check_sources(settings, str(self.folder / "mailgw.toml"))
        self.assertEqual((error.key, error.line), ("routes.far.source_addresses[0]", 12))
        self.assertIn('"198.51.100.77" cannot be used, it is no address of this host: ', error.message)
