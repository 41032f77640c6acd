"""Twenty clients that sent nothing but NOOP, whole segments at once, kept everybody else waiting for minutes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits
from mailgw.reception.link import BURST
from tests.reception.harness import Server, codes


class CommandFloodTests(SynchronousTestCase):
    def test_a_segment_of_commands_leaves_others_their_turn(self) -> None:
        server = Server()
        peer = server.connect()
        replies = codes(peer.say(*["NOOP"] * (3 * BURST)))
        self.assertLess(len(replies), BURST)
        self.assertEqual(codes(server.connect().say("NOOP")), ["250"])
        server.clock.pump([0.0] * 5)
        self.assertEqual(codes(peer.replies()), ["250"] * (3 * BURST - len(replies)))

    def test_commands_that_move_no_mail_come_to_an_end(self) -> None:
        peer = Server(limits=Limits(idle_commands=3)).connect()
        for command in ("EHLO c", "RSET", "VRFY x"):
            self.assertEqual(len(codes(peer.say(command))), 1)
        replies = peer.say("NOOP")
        self.assertEqual(codes(replies), ["250", "421"])
        self.assertIn("421 4.7.0 Too many commands without a message, closing the connection\r\n", replies)
        self.assertTrue(peer.closed)

    def test_a_message_starts_the_count_anew(self) -> None:
        peer = Server(limits=Limits(idle_commands=3)).connect()
        for _ in range(5):
            self.assertIn("queued", peer.deliver())
            self.assertEqual(codes(peer.say("NOOP", "RSET")), ["250", "250"])
        self.assertFalse(peer.closed)
