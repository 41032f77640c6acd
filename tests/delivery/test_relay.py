"""Relay by route and by MX, against scripted peers in memory."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config import schema
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.dns.interface import Answer, DnsFailure, RecordType
from mailgw.operation.threads import ThreadsInline
from mailgw.queue.item import Delayed, Delivered, Failed
from tests.delivery.peers import HANG_UP, PLAIN_EHLO, SILENT, MemoryNetwork, ScriptedPeer, deliveries, queued
from tests.fakes import FakeResolver

HOP = "192.0.2.1"


class RelayTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.resolver = FakeResolver()
        self.routes = {"hop": schema.Route(hosts=(HOP,)), "two": schema.Route(hosts=(HOP, "192.0.2.2:2525"))}
        self.agent = self.make_agent()

    def make_agent(self, threads: Any = None, **settings: Any) -> RelayAgent:
        return RelayAgent(
            Sessions(
                self.network,
                self.resolver,
                schema.Relay(**settings),
                self.routes,
                "gw.example.org",
                threads or ThreadsInline(),
                random.Random(1),
            ),
            threads or ThreadsInline(),
        )

    def start(self, message: Any = None, to: Any = None) -> Deferred[Any]:
        message = message or queued()
        to = to or deliveries("route:hop")
        attempt: Deferred[Any] = Deferred.fromCoroutine(self.agent.deliver(message, to))
        self.network.run()
        return attempt

    def deliver(self, message: Any = None, to: Any = None) -> list[Any]:
        return self.successResultOf(self.start(message, to))

    def peer(self, address: str = HOP, **script: Any) -> ScriptedPeer:
        names = {"end": ".", "greeting": "greeting", "content": "content"}
        peer = ScriptedPeer({names.get(step, step): answer for step, answer in script.items()})
        self.network[address] = peer
        return peer


class RouteTests(RelayTestCase):
    def test_delivered(self) -> None:
        peer = self.peer()
        (outcome,) = self.deliver(queued(b"Subject: x\r\n\r\nHello\r\n.hidden\r\n"))
        self.assertIsInstance(outcome, Delivered)
        self.assertIn("250 2.0.0 queued as 1", outcome.detail)
        self.assertIn("clear text", outcome.detail)
        self.assertEqual(outcome.remote, HOP)
        self.assertEqual(peer.contents, [b"Subject: x\r\n\r\nHello\r\n..hidden\r\n"])
        self.assertEqual(
            peer.sessions,
            [["EHLO gw.example.org", "MAIL FROM:<bob@example.net> SIZE=30", "RCPT TO:<alice@example.org>", "DATA"]],
        )

    def test_pipelined_in_one_write(self) -> None:
        peer = self.peer()
        self.deliver(queued(), deliveries("route:hop", ["a@example.org", "b@example.org"]))
        self.assertEqual(len(peer.reads), 3)  # EHLO; the envelope; the content with its end

    def test_one_by_one_without_pipelining(self) -> None:
        peer = self.peer(EHLO=PLAIN_EHLO)
        (outcome,) = self.deliver()
        self.assertIsInstance(outcome, Delivered)
        self.assertEqual(len(peer.reads), 5)
        self.assertEqual(peer.sessions[0][1], "MAIL FROM:<bob@example.net>")

    def test_old_server(self) -> None:
        peer = self.peer(EHLO=b"502 what?\r\n")
        self.assertIsInstance(self.deliver()[0], Delivered)
        self.assertEqual(peer.sessions[0][:2], ["EHLO gw.example.org", "HELO gw.example.org"])

    def test_null_reverse_path(self) -> None:
        peer = self.peer()
        self.deliver(queued(reverse_path=None))
        self.assertIn("MAIL FROM:<> SIZE=21", peer.sessions[0])

    def test_unknown_route_waits_for_the_postmaster(self) -> None:
        (outcome,) = self.deliver(to=deliveries("route:gone"))
        self.assertIsInstance(outcome, Delayed)
        self.assertIn("[routes.gone]", outcome.reason)

    def test_port_of_the_route(self) -> None:
        self.peer("192.0.2.2")
        self.deliver(to=deliveries("route:two"))
        self.assertEqual(dict(self.network.ports), {HOP: 25, "192.0.2.2": 2525})


class RefusalTests(RelayTestCase):
    def outcome(self, **script: Any) -> Any:
        self.peer(**script)
        (outcome,) = self.deliver()
        return outcome

    def test_temporary_at_each_step(self) -> None:
        for step in ("MAIL", "RCPT", "DATA", "end"):
            outcome = self.outcome(**{step: b"451 4.7.1 later\r\n"})
            self.assertIsInstance(outcome, Delayed, step)
            self.assertEqual((outcome.status, outcome.site_wide), ("4.7.1", False), step)
            self.assertRegex(outcome.reason, "refused.* for now")
            self.assertEqual((outcome.reply.code, outcome.reply.text), (451, "later"))
            self.agent = self.make_agent()

    def test_permanent_at_each_step(self) -> None:
        for step in ("MAIL", "RCPT", "DATA", "end"):
            outcome = self.outcome(**{step: b"550 5.7.1 never\r\n"})
            self.assertIsInstance(outcome, Failed, step)
            self.assertEqual((outcome.status, outcome.reply.code), ("5.7.1", 550), step)
            self.agent = self.make_agent()

    def test_421_at_each_step_is_the_site(self) -> None:
        for step in ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "content", "end"):
            outcome = self.outcome(**{step: b"421 4.3.2 going down\r\n"})
            self.assertIsInstance(outcome, Delayed, step)
            self.assertTrue(outcome.site_wide, step)
            self.assertEqual(outcome.reply.text, "going down")
            self.agent = self.make_agent()

    def test_hang_up_at_each_step_is_delayed(self) -> None:
        for step in ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "content", "end"):
            outcome = self.outcome(**{step: HANG_UP})
            self.assertIsInstance(outcome, Delayed, step)
            self.assertEqual(outcome.status, "4.4.2")
            self.assertEqual(outcome.site_wide, step not in ("content", "end"), step)
            self.agent = self.make_agent()

    def test_nonsense_at_each_step_is_delayed(self) -> None:
        for step in ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "end"):
            for nonsense in (b"what?\r\n", b"9" * 5000, b"250-x\r\n" * 200, b"250-x\r\n251 y\r\n", b"\xff\0\r\n"):
                outcome = self.outcome(**{step: nonsense})
                self.assertIsInstance(outcome, Delayed, (step, nonsense))
                self.agent = self.make_agent()

    def test_status_of_another_class_is_not_believed(self) -> None:
        self.assertEqual(self.outcome(RCPT=b"550 4.1.1 odd\r\n").status, "5.0.0")

    def test_host_that_takes_no_mail(self) -> None:
        outcome = self.outcome(greeting=b"521 no mail here\r\n")
        self.assertIsInstance(outcome, Failed)

    def test_greeting_554_is_not_for_good(self) -> None:
        self.assertIsInstance(self.outcome(greeting=b"554 not you\r\n"), Delayed)

    def test_each_recipient_has_its_own_result(self) -> None:
        peer = self.peer(RCPT=[b"250 ok\r\n", b"550 5.1.1 who?\r\n", b"450 4.2.1 later\r\n"])
        outcomes = self.deliver(queued(), deliveries("route:hop", [f"{n}@example.org" for n in "abc"]))
        self.assertEqual([type(outcome) for outcome in outcomes], [Delivered, Failed, Delayed])
        self.assertEqual(outcomes[1].status, "5.1.1")
        self.assertEqual(len(peer.contents), 1)

    def test_nobody_is_accepted_but_data_is(self) -> None:
        """RFC 2920 3.1: the content is empty then, and its reply means nothing."""
        peer = self.peer(RCPT=b"550 5.1.1 who?\r\n")
        (outcome,) = self.deliver()
        self.assertIsInstance(outcome, Failed)
        self.assertEqual(peer.contents, [b""])

    def test_too_many_recipients_go_in_another_transaction(self) -> None:
        peer = self.peer(RCPT=[b"250 ok\r\n", b"452 4.5.3 too many\r\n", b"250 ok\r\n"])
        outcomes = self.deliver(queued(), deliveries("route:hop", ["a@example.org", "b@example.org"]))
        self.assertEqual([type(outcome) for outcome in outcomes], [Delivered, Delivered])
        self.assertEqual(len(peer.contents), 2)
        self.assertEqual(len(peer.sessions), 1)

    def test_more_replies_than_commands(self) -> None:
        """They could be taken for replies to the next message's commands."""
        peer = self.peer(end=b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
        self.assertIsInstance(self.deliver()[0], Delivered)
        self.assertIsInstance(self.deliver()[0], Delivered)
        self.assertEqual(len(peer.sessions), 2)
        self.assertEqual(len(peer.contents), 2)


class TimeoutTests(RelayTestCase):
    def test_each_wait_ends(self) -> None:
        waits = {"greeting": 60, "EHLO": 300, "MAIL": 300, "RCPT": 300, "DATA": 180, "end": 600}
        for step, seconds in waits.items():
            self.peer(**{"EHLO": PLAIN_EHLO, step: SILENT})
            attempt = self.start()
            self.network.pass_time(seconds - 1)
            self.assertNoResult(attempt)
            self.network.pass_time(2)
            (outcome,) = self.successResultOf(attempt)
            self.assertIsInstance(outcome, Delayed)
            self.assertIn("too long", outcome.reason)
            self.agent = self.make_agent()

    def test_connect(self) -> None:
        self.network.silent.add(HOP)
        attempt = self.start()
        self.network.pass_time(30)
        (outcome,) = self.successResultOf(attempt)
        self.assertEqual((outcome.status, outcome.site_wide), ("4.4.1", True))


class HostsTests(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.resolver = FakeResolver(
            {
                "example.org": {"MX": [(20, "b.example.org"), (10, "a.example.org")]},
                "a.example.org": {"A": ["192.0.2.10"], "AAAA": ["2001:db8::10"]},
                "b.example.org": {"A": ["192.0.2.20"]},
                "nullmx.example": {"MX": [(0, "")]},
                "noservice.example": {"MX": [(10, "gone.example")]},
                "nomx.example": {"A": ["192.0.2.30"]},
                "loop.example": {"MX": [(10, "gw.example.org"), (20, "b.example.org")]},
                "backup.example": {"MX": [(10, "b.example.org"), (20, "GW.example.org"), (30, "a.example.org")]},
                "broken.example": "FAIL",
                "brokenhost.example": {"MX": [(10, "broken.example")]},
            }
        )
        self.agent = self.make_agent()

    def to(self, domain: str) -> Any:
        (outcome,) = self.deliver(to=deliveries(f"mx:{domain}"))
        return outcome

    def test_best_host_first(self) -> None:
        self.peer("192.0.2.10")
        self.assertEqual(self.to("example.org").remote, "a.example.org [192.0.2.10]")
        self.assertEqual(self.network.connected, ["192.0.2.10"])

    def test_next_address_then_next_host(self) -> None:
        self.peer("192.0.2.20")
        self.assertIsInstance(self.to("example.org"), Delivered)
        self.assertEqual(self.network.connected, ["192.0.2.10", "2001:db8::10", "192.0.2.20"])

    def test_next_host_when_the_first_says_4yz(self) -> None:
        for step in ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "end"):
            self.agent = self.make_agent()
            self.peer("192.0.2.10", **{step: b"450 later\r\n"})
            self.peer("192.0.2.20")
            self.assertIsInstance(self.to("example.org"), Delivered, step)

    def test_no_other_host_when_the_content_may_have_been_taken(self) -> None:
        self.peer("192.0.2.10", end=HANG_UP)
        other = self.peer("192.0.2.20")
        self.assertIsInstance(self.to("example.org"), Delayed)
        self.assertEqual(other.sessions, [])

    def test_no_other_host_when_the_first_says_no(self) -> None:
        self.peer("192.0.2.10", RCPT=b"550 no\r\n")
        other = self.peer("192.0.2.20")
        self.assertIsInstance(self.to("example.org"), Failed)
        self.assertEqual(other.sessions, [])

    def test_nobody_answers(self) -> None:
        outcome = self.to("example.org")
        self.assertEqual((outcome.status, outcome.site_wide), ("4.4.1", True))

    def test_null_mx(self) -> None:
        outcome = self.to("nullmx.example")
        self.assertIsInstance(outcome, Failed)
        self.assertEqual(outcome.status, "5.1.10")

    def test_no_such_domain(self) -> None:
        self.assertEqual(self.to("nxdomain.example").status, "5.1.2")

    def test_hosts_without_address(self) -> None:
        outcome = self.to("noservice.example")
        self.assertIsInstance(outcome, Failed)
        self.assertEqual(outcome.status, "5.4.4")

    def test_address_of_the_domain_when_there_is_no_mx(self) -> None:
        self.peer("192.0.2.30")
        self.assertIsInstance(self.to("nomx.example"), Delivered)

    def test_address_literal(self) -> None:
        self.peer("2001:db8::1")
        self.assertIsInstance(self.to("[ipv6:2001:db8::1]"), Delivered)

    def test_dns_failure_is_delayed(self) -> None:
        for domain in ("broken.example", "brokenhost.example"):
            outcome = self.to(domain)
            self.assertIsInstance(outcome, Delayed)
            self.assertEqual((outcome.status, outcome.site_wide), ("4.4.3", True))

    def test_we_are_the_best_mx(self) -> None:
        outcome = self.to("loop.example")
        self.assertIsInstance(outcome, Failed)
        self.assertEqual(outcome.status, "5.4.6")

    def test_hosts_behind_us_are_cut(self) -> None:
        self.assertIsInstance(self.to("backup.example"), Delayed)
        self.assertEqual(self.network.connected, ["192.0.2.20"])

    def test_equal_hosts_are_shared(self) -> None:
        names = [f"{n}.many.example" for n in range(30)]
        self.resolver.set("many.example", {"MX": [(10, name) for name in names]})
        for number, name in enumerate(names):
            self.resolver.set(name, {"A": [f"198.51.100.{number}"]})
        first = set()
        for _ in range(20):
            self.to("many.example")
            first.add(self.network.connected[0])
            self.assertEqual(len(self.network.connected), 5)  # max_addresses
            self.network.connected.clear()
        self.assertGreater(len(first), 5)

    def test_site(self) -> None:
        self.resolver.set("other.example", {"MX": [(5, "a.example.org"), (5, "b.example.org")]})
        sites = {
            self.successResultOf(Deferred.fromCoroutine(self.agent.site(deliveries(f"mx:{domain}")[0].destination)))
            for domain in ("example.org", "other.example")
        }
        self.assertEqual(sites, {"mx:a.example.org,b.example.org"})
        broken = self.agent.site(deliveries("mx:broken.example")[0].destination)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(broken)), "mx:broken.example")


class PoolTests(RelayTestCase):
    def test_connection_is_used_again(self) -> None:
        peer = self.peer()
        for _ in range(3):
            self.assertIsInstance(self.deliver()[0], Delivered)
        self.assertEqual(len(peer.sessions), 1)
        self.assertEqual(len(peer.contents), 3)

    def test_idle_connection_is_ended(self) -> None:
        peer = self.peer()
        self.deliver()
        self.network.pass_time(14)
        self.assertEqual(peer.open, 1)
        self.network.pass_time(2)
        self.assertEqual(peer.open, 0)
        self.assertEqual(peer.sessions[0][-1], "QUIT")

    def test_use_starts_the_idle_time_anew(self) -> None:
        peer = self.peer()
        for _ in range(5):
            self.deliver()
            self.network.pass_time(10)
        self.assertEqual(len(peer.sessions), 1)

    def test_stale_connection_is_replaced(self) -> None:
        for ending in (HANG_UP, b"421 4.4.2 idle for too long\r\n"):
            peer = self.peer(MAIL=[b"250 ok\r\n", ending, b"250 ok\r\n"])
            self.deliver()
            self.assertIsInstance(self.deliver()[0], Delivered)
            self.assertEqual(len(peer.sessions), 2)
            self.assertEqual(len(peer.contents), 2)
            self.agent = self.make_agent()

    def test_rset_after_a_transaction_that_was_not_finished(self) -> None:
        peer = self.peer(EHLO=PLAIN_EHLO, RCPT=[b"550 no\r\n", b"250 ok\r\n"])
        self.assertIsInstance(self.deliver()[0], Failed)
        self.assertIsInstance(self.deliver()[0], Delivered)
        self.assertEqual(peer.sessions[0][3:5], ["RSET", "MAIL FROM:<bob@example.net>"])

    def test_messages_a_connection(self) -> None:
        self.agent = self.make_agent(max_messages=2)
        peer = self.peer()
        for _ in range(5):
            self.deliver()
        self.network.run()
        self.assertEqual(len(peer.sessions), 3)
        self.assertEqual(peer.open, 1)

    def test_cancelled(self) -> None:
        """The queue stops: what is under way is given up, its connection too."""
        for step in ("greeting", "EHLO", "DATA", "end"):
            peer = self.peer(**{step: SILENT})
            attempt = self.start()
            attempt.cancel()
            self.failureResultOf(attempt, CancelledError)
            self.network.run()
            self.assertEqual(peer.open, 0)
            self.assertEqual(self.network.getDelayedCalls(), [])

    def test_close(self) -> None:
        peer = self.peer()
        self.deliver()
        self.network["192.0.2.2"] = ScriptedPeer({"DATA": SILENT})
        self.routes["other"] = schema.Route(hosts=("192.0.2.2",))
        attempt = self.start(to=deliveries("route:other"))
        closed = Deferred.fromCoroutine(self.agent.close())
        self.network.run()
        self.successResultOf(closed)
        self.assertIsInstance(self.successResultOf(attempt)[0], Delayed)
        self.assertEqual(peer.open, 0)
        self.assertEqual(self.network.getDelayedCalls(), [])


class SlowResolver(FakeResolver):
    """For addresses it gives up after ten seconds, as a resolver whose servers are silent does."""

    clock: MemoryNetwork

    async def lookup(self, name: str, type: RecordType) -> Answer:
        if type in ("A", "AAAA", "TLSA"):
            await deferLater(self.clock, 10.0)  # type: ignore[arg-type]
            raise DnsFailure(f"{type} {name}: no answer")
        return await super().lookup(name, type)


class SilentDnsTests(RelayTestCase):
    """features 4.4: an attempt waits for DNS for 30 s, however many hosts there are to ask for."""

    def setUp(self) -> None:
        super().setUp()
        self.resolver = SlowResolver({"dest.example": {"MX": [(10, f"mx{n}.dest.example") for n in range(20)]}})
        self.resolver.clock = self.network
        self.agent = self.make_agent()

    def test_many_hosts(self) -> None:
        attempt = self.start(to=deliveries("mx:dest.example"))
        for _ in range(30):
            self.assertNoResult(attempt)
            self.network.pass_time(1.0)
        (outcome,) = self.successResultOf(attempt)
        self.assertIsInstance(outcome, Delayed)
        self.assertEqual((outcome.status, outcome.site_wide), ("4.4.3", True))
        self.assertLess(len(self.resolver.asked), 20)

    def test_no_answer_at_all(self) -> None:
        self.resolver.clock = MemoryNetwork()  # its time does not pass
        attempt = self.start(to=deliveries("mx:dest.example"))
        self.network.pass_time(29.0)
        self.assertNoResult(attempt)
        self.network.pass_time(1.0)
        (outcome,) = self.successResultOf(attempt)
        self.assertEqual(outcome.status, "4.4.3")
        self.assertIn("DNS takes too long: the address of mx", outcome.reason)
