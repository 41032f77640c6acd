"""The resolver's decisions, on a clock and without sockets."""

from __future__ import annotations

import random
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Dns
from mailgw.dns.exchange import SpoofSuspected
from mailgw.dns.interface import Answer, DnsFailure, RecordType
from mailgw.dns.resolver import MAX_SOCKETS, DnsResolver
from mailgw.dns.servers import Server
from mailgw.dns.wire import Query, ServerAway, decode_response
from tests.dnsserver import DnsServer
from tests.fakes import FAIL

ZONE = {
    "example.org": {"A": ["192.0.2.1"], "TXT": ["v=spf1 -all"]},
    "www.example.org": {"CNAME": ["web.example.org"]},
    "web.example.org": {"CNAME": ["example.org"]},
    "loop.example": {"CNAME": ["loop.example"]},
    "broken.example": FAIL,
    "large.example": {"TXT": ["x" * 3000, "y" * 3000]},
}


class FakeExchange:
    """Hands questions to servers in memory: an answer at once, or silence until the wait is over."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.servers: dict[str, DnsServer] = {}
        self.silent: set[str] = set()
        self.refusing: set[str] = set()
        self.spoofed: set[str] = set()
        self.slow: dict[str, float] = {}
        """Seconds that a server takes for each answer."""
        self.cut_streams = False
        self.asked: list[tuple[str, str, bool]] = []
        self.queries: list[dns.message.Message] = []

    async def ask(self, server: Server, query: Query, wait: float, *, stream: bool) -> dns.message.Message:
        self.asked.append((server.address, query.message.question[0].name.to_text(True), stream))
        self.queries.append(query.message)
        if server.address in self.refusing:
            raise ServerAway("connection refused")
        if server.address in self.spoofed and not stream:
            raise SpoofSuspected("10 datagrams")
        wires = []
        if server.address not in self.silent:
            wires = list(self.servers[server.address].answer(query.wire, "tcp" if stream else "udp"))
        delay = self.slow.get(server.address, 0)
        if not wires or delay > wait:
            await self.sleep(wait, TimeoutError())
        elif delay:
            await self.sleep(delay)
        response = decode_response(wires[0], query)
        assert response is not None
        if stream and self.cut_streams:
            response.flags |= dns.flags.TC
        return response

    async def sleep(self, seconds: float, end: Exception | None = None) -> None:
        waiting: Deferred[None] = Deferred()
        call = self.clock.callLater(seconds, waiting.errback if end else waiting.callback, end)
        try:
            await waiting
        finally:
            if call.active():
                call.cancel()

    async def stop(self) -> None:
        pass


class ResolverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.exchange = FakeExchange(self.clock)
        self.one = self.exchange.servers["127.0.0.1"] = DnsServer(ZONE)
        self.two = self.exchange.servers["192.0.2.53"] = DnsServer(ZONE)
        self.resolver = self.make()

    def make(self, trust: tuple[str, ...] = (), cache_size: int = 100) -> DnsResolver:
        settings = Dns(
            servers=("127.0.0.1", "192.0.2.53"), timeout=10.0, trust_authenticated=trust, cache_size=cache_size
        )
        return DnsResolver(self.clock, settings, random.Random(1), exchange=self.exchange)

    def ask(self, name: str, type: RecordType = "A") -> Deferred[Answer]:
        return Deferred.fromCoroutine(self.resolver.lookup(name, type))

    def answer(self, name: str, type: RecordType = "A") -> Answer:
        return self.successResultOf(self.ask(name, type))

    def change(self, change: Callable[[dns.message.Message, dns.message.Message], None]) -> None:
        def changed(query: dns.message.Message, response: dns.message.Message) -> dns.message.Message:
            change(query, response)
            return response

        self.one.change = self.two.change = changed

    def test_answer(self) -> None:
        self.assertEqual(self.answer("Example.ORG.").records, ("192.0.2.1",))
        self.assertEqual(self.answer("example.org", "TXT").records, (b"v=spf1 -all",))
        none = self.answer("example.org", "MX")
        self.assertEqual((none.records, none.exists), ((), True))
        no_name = self.answer("absent.example")
        self.assertEqual((no_name.records, no_name.exists), ((), False))

    def test_question_has_edns_and_a_new_id(self) -> None:
        self.answer("example.org")
        self.answer("example.org", "TXT")
        first, second = self.exchange.queries
        self.assertEqual((first.edns, first.payload), (0, 1232))
        self.assertTrue(first.flags & dns.flags.AD)
        self.assertNotEqual(first.id, second.id)

    def test_cache_holds_for_the_ttl(self) -> None:
        self.answer("example.org")
        self.clock.advance(299)
        self.assertEqual(self.answer("EXAMPLE.org").records, ("192.0.2.1",))
        self.assertEqual(len(self.exchange.asked), 1)
        self.clock.advance(1)
        self.answer("example.org")
        self.assertEqual(len(self.exchange.asked), 2)

    def test_cache_of_nothing_holds_for_the_minimum_of_the_soa(self) -> None:
        """RFC 2308 5."""
        self.answer("absent.example")
        self.clock.advance(59)
        self.assertFalse(self.answer("absent.example").exists)
        self.assertEqual(len(self.exchange.asked), 1)
        self.clock.advance(1)
        self.answer("absent.example")
        self.assertEqual(len(self.exchange.asked), 2)

    def test_nothing_without_soa_is_not_cached(self) -> None:
        self.change(lambda query, response: response.authority.clear())
        self.answer("absent.example")
        self.answer("absent.example")
        self.assertEqual(len(self.exchange.asked), 2)

    def test_cache_is_bounded(self) -> None:
        self.resolver = self.make(cache_size=2)
        for name in ("a.example", "b.example", "a.example", "c.example", "a.example", "b.example"):
            self.answer(name)
        self.assertEqual(
            [name for _, name, _ in self.exchange.asked], ["a.example", "b.example", "c.example", "b.example"]
        )

    def test_large_answers_are_not_cached(self) -> None:
        self.answer("large.example", "TXT")
        asked = len(self.exchange.asked)
        self.answer("large.example", "TXT")
        self.assertGreater(len(self.exchange.asked), asked)

    def test_servfail_goes_to_the_next_server_and_is_cached_briefly(self) -> None:
        """RFC 9520 3.2."""
        failure = self.failureResultOf(self.ask("broken.example"), DnsFailure)
        self.assertIn("SERVFAIL", str(failure.value))
        self.assertEqual([server for server, _, _ in self.exchange.asked], ["127.0.0.1", "192.0.2.53"])
        self.failureResultOf(self.ask("broken.example"), DnsFailure)
        self.assertEqual(len(self.exchange.asked), 2)
        self.clock.advance(5)
        self.two.zone["broken.example"] = {"A": ["192.0.2.9"]}
        self.assertEqual(self.answer("broken.example").records, ("192.0.2.9",))

    def test_a_failure_in_the_cache_holds_no_frames(self) -> None:
        """Ten thousand of them, in an outage of DNS, took 200 MB."""
        self.failureResultOf(self.ask("broken.example"), DnsFailure)
        kept = self.resolver._cache.get(("broken.example", "A"), self.clock.seconds())
        assert isinstance(kept, DnsFailure)
        self.assertIsNone(kept.__traceback__)
        self.assertIsNone(kept.__context__)

    def test_silent_server_is_passed_over_and_asked_last_for_a_while(self) -> None:
        self.exchange.silent.add("127.0.0.1")
        asking = self.ask("example.org")
        self.assertNoResult(asking)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(asking).records, ("192.0.2.1",))
        self.answer("example.org", "TXT")
        self.assertEqual([s for s, _, _ in self.exchange.asked], ["127.0.0.1", "192.0.2.53", "192.0.2.53"])
        self.exchange.silent.clear()
        self.clock.advance(30)
        self.answer("example.org", "MX")
        self.assertEqual(self.exchange.asked[-1][0], "127.0.0.1")

    def test_slow_server_is_heard_while_the_next_is_asked(self) -> None:
        self.exchange.slow["127.0.0.1"] = 1.5
        self.exchange.silent.add("192.0.2.53")
        asking = self.ask("example.org")
        self.clock.pump([0.25] * 5)
        self.assertNoResult(asking)
        self.clock.advance(0.25)
        self.assertEqual(self.successResultOf(asking).records, ("192.0.2.1",))
        self.assertEqual([s for s, _, _ in self.exchange.asked], ["127.0.0.1", "192.0.2.53"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer("example.org")
        self.assertEqual(len(self.exchange.asked), 2)

    def test_a_servers_late_refusal_counts(self) -> None:
        """Recursive servers say SERVFAIL when they have given up, which takes them longer than our first wait."""
        self.exchange.slow["127.0.0.1"] = self.exchange.slow["192.0.2.53"] = 2.5
        asking = self.ask("broken.example")
        self.clock.pump([0.5] * 8)
        self.assertIn("SERVFAIL", str(self.failureResultOf(asking, DnsFailure).value))

    def test_tries_of_a_question_are_bounded(self) -> None:
        self.exchange.silent.update(self.exchange.servers)
        asking = self.ask("example.org")
        most = 0
        for _ in range(39):
            self.clock.advance(0.25)
            most = max(most, len(self.clock.getDelayedCalls()))
        self.clock.advance(0.25)
        self.failureResultOf(asking, DnsFailure)
        self.assertEqual(most, 5)  # three tries, the wait for the next, the deadline

    def test_names_whose_servers_are_silent_do_not_hold_up_others(self) -> None:
        """A flood of them takes every slot; a question that gets an answer waits a second at most."""
        self.exchange.silent.update(self.exchange.servers)
        flood = [self.ask(f"n{n}.evil.example") for n in range(MAX_SOCKETS + 100)]
        self.assertEqual(len(self.exchange.asked), MAX_SOCKETS)
        self.exchange.silent.clear()
        good = self.ask("example.org")
        self.assertNoResult(good)
        self.clock.advance(1.0)
        self.assertEqual(self.successResultOf(good).records, ("192.0.2.1",))
        self.clock.pump([0.5] * 20)
        for asking in flood:
            self.assertTrue(asking.called)
            asking.addErrback(lambda failure: failure.trap(DnsFailure))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answer_that_is_cut_short_over_tcp_is_none(self) -> None:
        """RFC 2181 9."""
        self.exchange.cut_streams = True
        failure = self.failureResultOf(self.ask("large.example", "TXT"), DnsFailure)
        self.assertIn("cut short", str(failure.value))

    def test_no_server_is_there(self) -> None:
        self.exchange.refusing.update(self.exchange.servers)
        failure = self.failureResultOf(self.ask("example.org"), DnsFailure)
        self.assertIn("connection refused", str(failure.value))

    def test_server_that_is_away_leaves_the_other_its_tries(self) -> None:
        """Where one is down, a lost datagram of the other must not be a failure of the question."""
        self.exchange.refusing.add("127.0.0.1")
        self.exchange.silent.add("192.0.2.53")
        asking = self.ask("example.org")
        self.assertNoResult(asking)
        self.exchange.silent.clear()
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(asking).records, ("192.0.2.1",))
        self.exchange.asked.clear()
        self.answer("example.org", "TXT")
        self.assertEqual([server for server, _, _ in self.exchange.asked], ["192.0.2.53"])

    def test_dns_that_never_answers_fails_at_the_deadline(self) -> None:
        self.exchange.silent.update(self.exchange.servers)
        asking = self.ask("example.org")
        self.clock.pump([0.5] * 19)
        self.assertNoResult(asking)
        self.clock.advance(0.5)
        failure = self.failureResultOf(asking, DnsFailure)
        self.assertIn("no answer from 127.0.0.1:53, 192.0.2.53:53 within 10 s", str(failure.value))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_equal_questions_are_asked_once(self) -> None:
        self.exchange.silent.update(self.exchange.servers)
        first, second, third = self.ask("example.org"), self.ask("Example.org"), self.ask("example.org")
        self.assertEqual(len(self.exchange.asked), 1)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.exchange.silent.clear()
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(first).records, ("192.0.2.1",))
        self.assertEqual(self.successResultOf(third).records, ("192.0.2.1",))

    def test_truncated_answer_is_asked_for_over_tcp(self) -> None:
        self.assertEqual(len(self.answer("large.example", "TXT").records), 2)
        self.assertEqual([stream for _, _, stream in self.exchange.asked], [False, True])

    def test_suspicion_of_spoofing_moves_to_tcp(self) -> None:
        self.exchange.spoofed.add("127.0.0.1")
        self.assertEqual(self.answer("example.org").records, ("192.0.2.1",))
        self.assertEqual([stream for _, _, stream in self.exchange.asked], [False, True])

    def test_server_without_edns(self) -> None:
        def refuse_edns(query: dns.message.Message, response: dns.message.Message) -> None:
            if query.edns >= 0:
                response.set_rcode(dns.rcode.FORMERR)
                response.answer.clear()

        self.change(refuse_edns)
        self.assertEqual(self.answer("example.org").records, ("192.0.2.1",))
        self.assertEqual([query.edns for query in self.exchange.queries], [0, -1])

    def test_aliases_are_followed(self) -> None:
        self.assertEqual(self.answer("www.example.org").records, ("192.0.2.1",))
        self.assertEqual(len(self.exchange.asked), 1)

    def test_alias_whose_target_is_left_out_is_asked_for(self) -> None:
        def leave_out(query: dns.message.Message, response: dns.message.Message) -> None:
            del response.answer[1:]

        self.change(leave_out)
        self.assertEqual(self.answer("www.example.org").records, ("192.0.2.1",))
        self.assertEqual(
            [name for _, name, _ in self.exchange.asked], ["www.example.org", "web.example.org", "example.org"]
        )

    def test_alias_loop_fails(self) -> None:
        self.failureResultOf(self.ask("loop.example"), DnsFailure)
        self.change(lambda query, response: response.authority.clear())
        self.clock.advance(60)
        self.failureResultOf(self.ask("loop.example"), DnsFailure)

    def test_authenticated_only_from_trusted_servers(self) -> None:
        self.one.authenticated = self.two.authenticated = True
        self.assertTrue(self.answer("example.org").authenticated)  # a server on loopback
        self.exchange.refusing.add("127.0.0.1")
        self.resolver = self.make()
        self.assertFalse(self.answer("example.org").authenticated)
        self.resolver = self.make(trust=("192.0.2.53",))
        self.assertTrue(self.answer("example.org").authenticated)

    def test_names_that_dns_cannot_have_do_not_exist(self) -> None:
        for name in ("", ".", "a..b", "x" * 64 + ".org", "bücher.example", ".".join(["abcdefg"] * 40)):
            answer = self.answer(name)
            self.assertEqual((answer.records, answer.exists), ((), False), name)
        self.assertEqual(self.exchange.asked, [])

    def test_a_backslash_or_an_at_sign_is_a_character_like_others(self) -> None:
        self.assertFalse(self.answer("a\\046b@x.example").exists)
        self.assertEqual(self.exchange.queries[0].question[0].name.labels, (b"a\\046b@x", b"example", b""))

    def test_stop_ends_questions(self) -> None:
        self.exchange.silent.update(self.exchange.servers)
        asking = self.ask("example.org")
        self.successResultOf(Deferred.fromCoroutine(self.resolver.stop()))
        self.assertIn("stopped", str(self.failureResultOf(asking, DnsFailure).value))
        self.failureResultOf(self.ask("example.org"), DnsFailure)
        self.assertEqual(self.clock.getDelayedCalls(), [])
