"""The refusal that exhausted a session's patience became a 421: a rejected message was sent again for days, a wrong
password was tried again, and in LMTP all recipients but one had no reply."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits
from mailgw.mail.reply import Reply
from mailgw.mail.verdict import Verdict
from tests.reception.harness import Peer, Server, codes


class RefusalBefore421Tests(SynchronousTestCase):
    def rejected(self, kind: str, hello: str) -> tuple[Peer, str]:
        server = Server(kind=kind, limits=Limits(hard_errors=1))
        server.judge.verdict = Verdict("reject", 20.0, (), "", Reply(554, "5.7.1", ("Spam",)))
        peer = server.connect()
        peer.say(hello, "MAIL FROM:<a@b.example>", "RCPT TO:<alice@ours.example>", "RCPT TO:<bob@ours.example>")
        return peer, peer.say("DATA", "x", ".", "NOOP")

    def test_a_rejected_message_stays_rejected(self) -> None:
        peer, replies = self.rejected("mx", "EHLO c")
        self.assertEqual(codes(replies), ["354", "554", "421"])
        self.assertTrue(replies.endswith("421 4.7.0 Too many errors, closing the connection\r\n"), replies)
        self.assertTrue(peer.closed)

    def test_lmtp_has_a_reply_for_each_recipient(self) -> None:
        _, replies = self.rejected("lmtp", "LHLO c")
        self.assertEqual(codes(replies), ["354", "554", "554", "421"])

    def test_an_unknown_recipient_stays_unknown(self) -> None:
        peer = Server(limits=Limits(unknown_recipients=1)).connect()
        peer.say("EHLO c", "MAIL FROM:<>")
        replies = peer.say("RCPT TO:<nobody@ours.example>", "NOOP")
        self.assertEqual(codes(replies), ["550", "421"])
        self.assertIn("421 4.7.0 Too many unknown recipients, closing", replies)
