"""Behind a balancer: PROXY headers and XCLIENT, and whom they are taken from."""

from __future__ import annotations

import struct

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits, Rate
from mailgw.mail.transaction import Client
from tests.reception.harness import Server, codes

BALANCER = "10.0.0.1"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"
BINARY = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(
    "!BBH4s4sHH", 0x21, 0x11, 12, bytes([192, 0, 2, 7]), bytes([198, 51, 100, 1]), 40000, 25
)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


class ProxyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(proxy_networks=("10.0.0.0/8",))
        self.successResultOf(Deferred.fromCoroutine(self.server.store.open()))

    def client(self) -> Client:
        return self.server.judge.transactions[-1].client

    def test_the_header_comes_before_the_greeting_and_tells_the_client(self) -> None:
        for header in (LINE, BINARY):
            peer = self.server.connect(BALANCER)
            self.assertEqual(peer.greeting, "")
            self.assertEqual(codes(peer.send(header)), ["220"])
            self.assertEqual(codes(peer.deliver()), ["250"])
            client = self.client()
            self.assertEqual((client.address, client.port, client.local), ("192.0.2.7", 40000, "198.51.100.1:25"))
            self.assertNotIn("early_talker", [signal.kind for signal in client.signals])
            self.assertIn(b"([192.0.2.7])", self.server.offered[-1].message.message.prefix)

    def test_it_may_come_octet_by_octet(self) -> None:
        peer = self.server.connect(BALANCER)
        replies = [peer.send(BINARY[n : n + 1]) for n in range(len(BINARY))]
        self.assertEqual(replies[:-1], [""] * (len(BINARY) - 1))
        self.assertEqual(codes(replies[-1]), ["220"])

    def test_who_speaks_with_the_header_spoke_early(self) -> None:
        peer = self.server.connect(BALANCER)
        self.assertEqual(codes(peer.send(LINE + b"EHLO client.example\r\n")), ["220", "250"])
        peer.deliver()
        self.assertIn("early_talker", [signal.kind for signal in self.client().signals])

    def test_the_balancer_itself_keeps_its_address(self) -> None:
        for header in (LOCAL, b"PROXY UNKNOWN\r\n"):
            peer = self.server.connect(BALANCER)
            self.assertEqual(codes(peer.send(header)), ["220"])
            peer.deliver()
            self.assertEqual(self.client().address, BALANCER)

    def test_a_connection_without_a_right_header_is_closed_without_a_word(self) -> None:
        for data in (b"EHLO x\r\n", b"PROXY TCP4 a b 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0"):
            peer = self.server.connect(BALANCER)
            self.assertEqual(peer.send(data), "")
            self.assertTrue(peer.transport.aborted)
        self.assertEqual((len(self.server.sessions), self.server.clock.getDelayedCalls()), (0, []))

    def test_a_balancer_that_says_nothing_is_not_waited_for(self) -> None:
        peer = self.server.connect(BALANCER)
        peer.send(LINE[:-2])
        self.server.clock.advance(31)
        self.assertTrue(peer.transport.aborted)
        gone = self.server.connect(BALANCER)
        gone.transport.loseConnection()
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def test_others_are_greeted_at_once_and_their_header_is_refused(self) -> None:
        peer = self.server.connect("192.0.2.9")
        self.assertEqual(codes(peer.greeting), ["220"])
        self.assertIn("550 5.7.0", peer.send(LINE))
        self.assertTrue(peer.closed)
        peer = self.server.connect("192.0.2.9")
        self.assertTrue(all(code == "500" for code in codes(peer.send(BINARY))))

    def test_a_client_behind_the_balancer_cannot_send_a_header_of_its_own(self) -> None:
        peer = self.server.connect(BALANCER)
        self.assertEqual(codes(peer.send(LINE + LINE.replace(b"192.0.2.7", b"127.0.0.1"))), ["220", "550"])
        self.assertTrue(peer.closed)

    def test_limits_count_the_client_and_not_the_balancer(self) -> None:
        server = Server(proxy_networks=("10.0.0.0/8",), limits=Limits(connections_per_address=1))
        first, second, other = (server.connect(BALANCER) for _ in range(3))
        self.assertEqual(codes(first.send(LINE)), ["220"])
        self.assertEqual(codes(second.send(LINE)), ["421"])
        self.assertEqual(codes(other.send(LINE.replace(b"192.0.2.7", b"192.0.2.8"))), ["220"])
        first.say("QUIT")
        self.assertEqual(codes(server.connect(BALANCER).send(LINE)), ["220"])

    def test_no_session_begins_during_a_shutdown(self) -> None:
        peer = self.server.connect(BALANCER)
        self.successResultOf(Deferred.fromCoroutine(self.server.sessions.stop(10)))
        peer.send(LINE)
        self.assertTrue(peer.closed)
        self.assertEqual(len(self.server.sessions), 0)


class XclientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(xclient_networks=("10.0.0.0/8",), limits=Limits(connections_per_address=1))
        self.successResultOf(Deferred.fromCoroutine(self.server.store.open()))

    def test_it_is_offered_to_configured_networks_only(self) -> None:
        self.assertIn("XCLIENT NAME ADDR", self.server.connect(BALANCER).say("EHLO proxy.example"))
        peer = self.server.connect("192.0.2.9")
        self.assertNotIn("XCLIENT", peer.say("EHLO c.example"))
        self.assertIn("550 5.7.0", peer.say("XCLIENT ADDR=127.0.0.1"))
        self.assertEqual(codes(peer.deliver()), ["250"])
        self.assertEqual(self.server.judge.transactions[-1].client.address, "192.0.2.9")

    def test_the_client_takes_the_place_of_the_proxy(self) -> None:
        peer = self.server.connect(BALANCER)
        peer.say("EHLO proxy.example")
        reply = peer.say("XCLIENT ADDR=IPV6:2001:db8::7 PORT=4000 NAME=x.example DESTADDR=198.51.100.1 DESTPORT=2525")
        self.assertTrue(reply.startswith("220 mx.ours.example ESMTP"), reply)
        self.assertEqual(codes(peer.say("MAIL FROM:<>")), ["503"])
        peer.deliver()
        client = self.server.judge.transactions[-1].client
        self.assertEqual((client.address, client.port, client.local), ("2001:db8::7", 4000, "198.51.100.1:2525"))
        self.assertIn(b"([IPv6:2001:db8::7])", self.server.offered[-1].message.message.prefix)

    def test_the_last_place_is_enough_to_name_the_client(self) -> None:
        server = Server(xclient_networks=("10.0.0.0/8",), limits=Limits(connections=1, submission_reserve=0))
        peer = server.connect(BALANCER)
        peer.say("EHLO proxy.example")
        self.assertEqual(codes(peer.say("XCLIENT ADDR=192.0.2.7")), ["220"])
        peer.say("QUIT")
        self.assertEqual(codes(server.connect("192.0.2.7").greeting), ["220"])

    def test_the_place_is_that_of_the_client(self) -> None:
        first, second = self.server.connect(BALANCER), None
        self.assertEqual(codes(first.say("XCLIENT ADDR=192.0.2.7")), ["220"])
        second = self.server.connect(BALANCER)
        self.assertEqual(codes(second.greeting), ["220"])
        self.assertEqual(codes(second.say("XCLIENT ADDR=192.0.2.7")), ["421"])
        self.assertTrue(second.closed)
        first.say("QUIT")
        for _ in range(3):  # each gives back what it took
            peer = self.server.connect(BALANCER)
            self.assertEqual(codes(peer.say("XCLIENT ADDR=192.0.2.7", "QUIT")), ["220", "221"])
        self.assertEqual(len(self.server.guard._count), 0)

    def test_errors_of_one_client_are_not_those_of_the_next(self) -> None:
        server = Server(xclient_networks=("10.0.0.0/8",), limits=Limits(soft_errors=5, hard_errors=2))
        peer = server.connect(BALANCER)
        for n in range(5):
            self.assertEqual(codes(peer.say(f"XCLIENT ADDR=192.0.2.{n}", "FOO")), ["220", "500"])

    def test_a_refused_client_counts_for_its_rate(self) -> None:
        server = Server(xclient_networks=("10.0.0.0/8",), rates={"connections": Rate("connections", "address", 1)})
        peer = server.connect(BALANCER)
        self.assertEqual(codes(peer.say("XCLIENT ADDR=192.0.2.7", "XCLIENT ADDR=192.0.2.8")), ["220", "220"])
        self.assertEqual(codes(peer.say("XCLIENT ADDR=192.0.2.7")), ["421"])

    def test_behind_a_balancer_the_client_decides(self) -> None:
        server = Server(proxy_networks=("10.0.0.0/8",), xclient_networks=("10.0.0.0/8",))
        peer = server.connect(BALANCER)
        peer.send(LINE)
        self.assertIn("550 5.7.0", peer.say("XCLIENT ADDR=127.0.0.1"))
