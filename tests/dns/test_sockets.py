"""The resolver over real sockets on loopback."""

from __future__ import annotations

import random

import dns.message
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from mailgw.config.schema import Dns
from mailgw.dns.interface import DnsFailure, MxRecord
from mailgw.dns.resolver import DnsResolver
from tests.dnsserver import DnsServer

ZONE = {
    "example.org": {"A": ["192.0.2.1"], "AAAA": ["2001:DB8::1"], "MX": [(10, "MX.example.org"), (0, ".")]},
    "large.example": {"TXT": ["x" * 3000]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["host.example.org"]},
    "_25._tcp.example.org": {"TLSA": ["3 1 1 " + "ab" * 32]},
}


class SocketTests(TestCase):
    def start(self, server: DnsServer, interface: str = "127.0.0.1") -> str:
        address = server.start(reactor, interface)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        return address

    def make(self, *servers: str, timeout: float = 5.0) -> DnsResolver:
        resolver = DnsResolver(reactor, Dns(servers=servers, timeout=timeout), random.SystemRandom())
        self.addCleanup(lambda: Deferred.fromCoroutine(resolver.stop()))
        return resolver

    async def test_records(self) -> None:
        resolver = self.make(self.start(DnsServer(ZONE)))
        self.assertEqual((await resolver.lookup("example.org", "A")).records, ("192.0.2.1",))
        self.assertEqual((await resolver.lookup("example.org", "AAAA")).records, ("2001:db8::1",))
        self.assertEqual(
            set((await resolver.lookup("example.org", "MX")).records), {MxRecord(10, "mx.example.org"), MxRecord(0, "")}
        )
        self.assertEqual((await resolver.lookup("1.2.0.192.in-addr.arpa", "PTR")).records, ("host.example.org",))
        (tlsa,) = (await resolver.lookup("_25._tcp.example.org", "TLSA")).records
        self.assertEqual(tlsa.data, b"\xab" * 32)
        self.assertFalse((await resolver.lookup("absent.example", "A")).exists)

    async def test_large_answer_over_tcp(self) -> None:
        server = DnsServer(ZONE)
        resolver = self.make(self.start(server))
        self.assertEqual((await resolver.lookup("large.example", "TXT")).records, (b"x" * 3000,))
        self.assertEqual([transport for _, _, transport in server.asked], ["udp", "tcp"])

    async def test_each_question_comes_from_a_port_of_its_own(self) -> None:
        """RFC 5452 9.2: who does not see the question has to guess its port too."""
        server = DnsServer(ZONE)
        resolver = self.make(self.start(server))
        for n in range(20):
            await resolver.lookup(f"n{n}.example", "A")
        self.assertGreater(len(set(server.ports)), 10)

    async def test_streams_that_end_early_or_lie_about_their_length(self) -> None:
        for octets in (b"", b"\x00", b"\x00\x00", b"\x02\x00\xff", b"\xff\xff" + b"x" * 40, b"\x00\x0c" + b"\xff" * 12):
            server = DnsServer(ZONE, stream=lambda _, octets=octets: octets)
            resolver = self.make(self.start(server), timeout=2.0)
            with self.assertRaises(DnsFailure):
                await resolver.lookup("large.example", "TXT")

    async def test_wrong_ids_are_passed_over(self) -> None:
        def twist(query: dns.message.Message, response: dns.message.Message) -> dns.message.Message:
            if len(server.asked) == 1:
                response.id ^= 1
            return response

        server = DnsServer(ZONE, change=twist)
        resolver = self.make(self.start(server), timeout=5.0)
        self.assertEqual((await resolver.lookup("example.org", "A")).records, ("192.0.2.1",))
        self.assertEqual(len(server.asked), 2)

    async def test_answers_to_another_question_are_passed_over(self) -> None:
        def twist(query: dns.message.Message, response: dns.message.Message) -> dns.message.Message:
            other = dns.message.make_query("other.example", "A", id=query.id)
            return server.respond(other, "example.org", "A")

        server = DnsServer(ZONE, change=twist)
        resolver = self.make(self.start(server), timeout=0.3)
        with self.assertRaises(DnsFailure):
            await resolver.lookup("example.org", "A")

    async def test_garbage_is_passed_over(self) -> None:
        resolver = self.make(self.start(DnsServer(ZONE, change=lambda *_: b"\xff" * 40)), timeout=0.3)
        with self.assertRaises(DnsFailure):
            await resolver.lookup("example.org", "A")

    async def test_silent_server_and_failover(self) -> None:
        silent = DnsServer(ZONE, change=lambda *_: None)
        good = DnsServer(ZONE)
        resolver = self.make(self.start(silent), self.start(good))
        self.assertEqual((await resolver.lookup("example.org", "A")).records, ("192.0.2.1",))
        self.assertEqual((len(silent.asked), len(good.asked)), (1, 1))

    async def test_only_silent_servers(self) -> None:
        silent = DnsServer(ZONE, change=lambda *_: None)
        resolver = self.make(self.start(silent), timeout=0.3)
        before = reactor.seconds()
        with self.assertRaises(DnsFailure):
            await resolver.lookup("example.org", "A")
        self.assertLess(reactor.seconds() - before, 2.0)

    async def test_nobody_listens(self) -> None:
        server = DnsServer(ZONE)
        address = server.start(reactor)
        await server.stop()
        resolver = self.make(address)
        before = reactor.seconds()
        with self.assertRaises(DnsFailure) as caught:
            await resolver.lookup("example.org", "A")
        self.assertIn("refused", str(caught.exception))
        self.assertLess(reactor.seconds() - before, 2.0)

    async def test_many_at_once(self) -> None:
        server = DnsServer({f"n{n}.example": {"A": [f"192.0.2.{n % 250}"]} for n in range(300)})
        resolver = self.make(self.start(server))
        names = [f"n{n}.example" for n in range(300)] * 2
        answers = await gatherResults([Deferred.fromCoroutine(resolver.lookup(name, "A")) for name in names])
        self.assertEqual([answer.records for answer in answers[:300]], [(f"192.0.2.{n % 250}",) for n in range(300)])
        self.assertEqual(len(server.asked), 300)

    async def test_stop_while_asking(self) -> None:
        resolver = self.make(self.start(DnsServer(ZONE, change=lambda *_: None)))
        asking = Deferred.fromCoroutine(resolver.lookup("example.org", "A"))
        await resolver.stop()
        with self.assertRaises(DnsFailure):
            await asking

    async def test_ipv6_server(self) -> None:
        server = DnsServer(ZONE)
        port = self.start(server, "::1").rpartition(":")[2]
        resolver = self.make(f"[::1]:{port}")
        self.assertEqual((await resolver.lookup("example.org", "A")).records, ("192.0.2.1",))
        self.assertEqual((await resolver.lookup("large.example", "TXT")).records, (b"x" * 3000,))
