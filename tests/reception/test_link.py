"""What a session sees of TLS that begins, ends and breaks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.reception.harness import FakeTls, Peer, Server, codes


class TlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(tls="starttls")

    def begin(self) -> tuple[Peer, FakeTls]:
        peer = self.server.connect()
        self.assertEqual(codes(peer.say("EHLO client.example", "STARTTLS")), ["250", "220"])
        return peer, self.server.tls[-1]

    def test_a_command_that_comes_with_the_end_of_the_handshake(self) -> None:
        peer, tls = self.begin()
        tls.established = True
        self.assertEqual(codes(peer.say("EHLO client.example")), ["250"])

    def test_quit_is_answered_though_tls_ends_behind_it(self) -> None:
        peer, tls = self.begin()
        peer.transport.finish_handshake()
        tls.lost = "the peer ended TLS"
        self.assertEqual(codes(peer.say("QUIT")), ["221"])
        self.assertTrue(peer.closed)

    def test_a_handshake_that_fails_ends_the_session(self) -> None:
        peer, tls = self.begin()
        tls.lost = "no shared cipher"
        self.assertEqual(peer.say(""), "")
        self.assertTrue(peer.closed)
        self.assertEqual(len(self.server.sessions), 0)

    def test_tls_that_ends_within_a_transaction_ends_the_session(self) -> None:
        peer, tls = self.begin()
        peer.transport.finish_handshake()
        peer.say("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@ours.example>", "DATA")
        tls.lost = "the peer ended TLS"
        self.assertEqual(peer.say("half a mess"), "")
        self.assertTrue(peer.closed)
        self.assertEqual(self.server.offered, [])
        self.assertEqual(len(self.server.sessions), 0)
