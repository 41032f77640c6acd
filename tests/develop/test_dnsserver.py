"""The DNS server for development and tests."""

from __future__ import annotations

import socket
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.develop.dnsserver import DnsServer, World

ZONE = {
    "sender.test": {"TXT": ["v=spf1 ip4:127.0.0.1 -all", "k" * 300], "MX": ["10 mail.sender.test.", "20 b.test."]},
    "mail.sender.test": {"A": ["127.0.0.1"]},
    "alias.test": {"CNAME": ["mail.sender.test."]},
    "loop.test": {"CNAME": ["loop.test."]},
    "large.test": {"TXT": [f"{n:03}" + "x" * 200 for n in range(40)]},
}


def ask(world: World, name: str, kind: str, *, payload: int = 0) -> dns.message.Message | None:
    """Put one question to a server that listens nowhere."""
    query = dns.message.make_query(name, kind, use_edns=0 if payload else False, payload=payload or 1232)
    wire = DnsServer(None, world).respond(query.to_wire())
    if wire is None:
        return None
    response = dns.message.from_wire(wire)
    assert query.is_response(response)
    return response


class AnswerTest(SynchronousTestCase):
    def answer(self, name: str, kind: str, **world: Any) -> dns.message.Message:
        response = ask(World(ZONE, **world), name, kind)
        assert response is not None
        return response

    def test_records_in_order(self) -> None:
        response = self.answer("Sender.TEST", "MX")
        self.assertEqual([r.to_text().lower() for r in response.answer[0]], ["10 mail.sender.test.", "20 b.test."])

    def test_long_text_is_cut_into_strings(self) -> None:
        strings = [r.strings for r in self.answer("sender.test", "TXT").answer[0]]
        self.assertEqual(strings, [(b"v=spf1 ip4:127.0.0.1 -all",), (b"k" * 255, b"k" * 45)])

    def test_text_is_taken_as_it_stands(self) -> None:
        odd = 'a "b" \\ c; d\r\n\x00é'
        response = ask(World({"odd.test": {"TXT": [odd]}}), "odd.test", "TXT")
        assert response is not None
        self.assertEqual(response.answer[0][0].strings, (odd.encode(),))

    def test_alias_is_followed(self) -> None:
        response = self.answer("alias.test", "A")
        self.assertEqual([r.to_text().split()[-1] for r in response.answer], ["mail.sender.test.", "127.0.0.1"])

    def test_alias_loop_ends(self) -> None:
        self.assertEqual(self.answer("loop.test", "A").rcode(), dns.rcode.NOERROR)

    def test_unknown_name_is_nxdomain_with_soa(self) -> None:
        response = self.answer("nobody.test", "A")
        self.assertEqual(response.rcode(), dns.rcode.NXDOMAIN)
        self.assertEqual(len(response.authority), 1)

    def test_other_type_is_empty(self) -> None:
        response = self.answer("mail.sender.test", "AAAA")
        self.assertEqual((response.rcode(), response.answer), (dns.rcode.NOERROR, []))

    def test_name_above_a_known_one_exists(self) -> None:
        self.assertEqual(self.answer("test", "A").rcode(), dns.rcode.NOERROR)

    def test_failing_name_is_servfail(self) -> None:
        self.assertEqual(self.answer("bad.test", "A", failing={"bad.test"}).rcode(), dns.rcode.SERVFAIL)

    def test_silent_name_answers_for_what_stands_in_the_zone(self) -> None:
        world = World({"half.test": {"A": ["127.0.0.1"]}}, silent=["half.test"])
        self.assertIsNotNone(ask(world, "half.test", "A"))
        self.assertIsNone(ask(world, "half.test", "TXT"))

    def test_silent_name_gets_nothing(self) -> None:
        self.assertIsNone(ask(World(ZONE, silent={"mute.test"}), "mute.test", "A"))

    def test_authenticated_data(self) -> None:
        self.assertTrue(self.answer("mail.sender.test", "A", authenticated=True).flags & dns.flags.AD)
        self.assertFalse(self.answer("mail.sender.test", "A").flags & dns.flags.AD)

    def test_too_large_answer_is_truncated(self) -> None:
        for payload in (0, 1232):
            response = ask(World(ZONE), "large.test", "TXT", payload=payload)
            assert response is not None
            self.assertTrue(response.flags & dns.flags.TC)

    def test_rubbish_gets_nothing(self) -> None:
        server = DnsServer(None, World(ZONE))
        for wire in (b"", b"\0", b"x" * 40, bytes(12)[:11]):
            self.assertIsNone(server.respond(wire))

    def test_response_is_not_answered(self) -> None:
        """Two such servers would otherwise talk for ever."""
        query = dns.message.make_query("sender.test", "A")
        wire = dns.message.make_response(query).to_wire()
        self.assertIsNone(DnsServer(None, World(ZONE)).respond(wire))

    def test_queries_are_kept(self) -> None:
        server = DnsServer(None, World(ZONE))
        server.respond(dns.message.make_query("a.test", "MX").to_wire())
        self.assertEqual(server.queries, [("a.test", "MX")])


class NetworkTest(TestCase):
    def setUp(self) -> None:
        from twisted.internet import reactor

        self.server = DnsServer(reactor, World(ZONE))
        self.port = self.server.start()

    def tearDown(self) -> Deferred[None]:
        return ensureDeferred(self.server.stop())

    async def test_udp_then_tcp(self) -> None:
        """A client that sees TC gets the whole answer over TCP."""

        def client() -> tuple[dns.message.Message, bool]:
            query = dns.message.make_query("large.test", "TXT")
            return dns.query.udp_with_fallback(query, "127.0.0.1", timeout=5, port=self.port)

        response, used_tcp = await deferToThread(client)
        self.assertTrue(used_tcp)
        self.assertEqual(len(response.answer[0]), 40)

    async def test_two_questions_on_one_connection(self) -> None:
        def client() -> list[int]:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                for name in ("sender.test", "nobody.test"):
                    dns.query.send_tcp(connection, dns.message.make_query(name, "MX"))
                return [dns.query.receive_tcp(connection)[0].rcode() for _ in range(2)]

        self.assertEqual(await deferToThread(client), [dns.rcode.NOERROR, dns.rcode.NXDOMAIN])
