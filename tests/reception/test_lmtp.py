"""LMTP as a kind of listener (RFC 2033)."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.envelope import Envelope
from mailgw.mail.reply import Reply
from mailgw.mail.transaction import Client, Transaction
from mailgw.mail.verdict import Verdict
from mailgw.reception.trace import protocol
from tests.reception.harness import Server, codes


class LmtpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(kind="lmtp")
        self.peer = self.server.connect()

    def transaction(self) -> None:
        self.peer.say("LHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@ours.example>")
        self.peer.say("RCPT TO:<nobody@ours.example>", "RCPT TO:<bob@ours.example>")

    def test_greeting_and_lhlo(self) -> None:
        self.assertEqual(self.peer.greeting, "220 mx.ours.example LMTP mailgw\r\n")
        self.assertEqual(codes(self.peer.say("EHLO c.example")), ["500"])
        self.assertEqual(codes(self.peer.say("HELO c.example")), ["500"])
        self.assertIn("250-PIPELINING", self.peer.say("LHLO c.example"))

    def test_a_reply_for_each_recipient_that_was_accepted(self) -> None:
        self.transaction()
        self.assertEqual(codes(self.peer.say("DATA", "x", ".", "NOOP")), ["354", "250", "250", "250"])
        (entry,) = self.server.offered
        self.assertEqual([d.destination.target for d in entry.deliveries], ["alice@ours.example", "bob@ours.example"])
        self.assertIn(b" with LMTP id ", entry.message.message.prefix)
        self.assertEqual(entry.message.origin, "lmtp")

    def test_by_bdat(self) -> None:
        self.transaction()
        self.assertEqual(codes(self.peer.send(b"BDAT 3\r\nx\r\nBDAT 0 LAST\r\n")), ["250", "250", "250"])

    def test_the_verdict_is_told_for_each(self) -> None:
        self.server.judge.verdict = Verdict("reject", 20.0, (), "", Reply(554, "5.7.1", ("Spam",)))
        self.transaction()
        self.assertEqual(codes(self.peer.say("DATA", "x", ".", "NOOP")), ["354", "554", "554", "250"])

    def test_our_own_error_is_told_for_each(self) -> None:
        self.server.judge.error = ZeroDivisionError("ours")
        self.transaction()
        self.assertEqual(codes(self.peer.say("DATA", "x", ".", "NOOP")), ["354", "451", "451", "250"])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_recipients_are_ours_only(self) -> None:
        self.peer.say("LHLO c.example", "MAIL FROM:<a@b.example>")
        self.assertIn("550 5.7.1", self.peer.say("RCPT TO:<x@outside.example>"))
        self.assertEqual(codes(self.peer.say("DATA")), ["503"])

    def test_the_protocol_in_received(self) -> None:
        """RFC 3848, RFC 6531 4.3"""
        client = Client("S1", "lmtp", "192.0.2.1", esmtp=True)
        for utf8, tls, identity, name in (
            (False, "", "", "LMTP"),
            (False, "TLSv1.3", "", "LMTPS"),
            (False, "", "alice", "LMTPA"),
            (True, "TLSv1.3", "alice", "UTF8LMTPSA"),
        ):
            transaction = Transaction("T1", evolve(client, tls=tls, identity=identity), Envelope(None, smtputf8=utf8))
            self.assertEqual(protocol(transaction), name)
