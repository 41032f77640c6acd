"""Received (RFC 5321 4.4) and the X-Spam fields."""

from __future__ import annotations

from email import message_from_bytes
from email.utils import parsedate_to_datetime

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.transaction import Client, Transaction
from mailgw.mail.verdict import Verdict, VerdictLine
from mailgw.reception import trace

CLIENT = Client("S", "mx", "192.0.2.1", helo="client.example", esmtp=True)
ENVELOPE = Envelope(Mailbox("a", "b.example"), (Recipient(Mailbox("c", "d.example")),))
NOW = 1_700_000_000.5


def received(client: Client = CLIENT, envelope: Envelope = ENVELOPE) -> str:
    field = trace.received(Transaction("ID1", client, envelope), "mx.example", NOW)
    return str(message_from_bytes(field)["Received"]).replace("\r\n", "")


class ReceivedTests(SynchronousTestCase):
    def test_says_from_by_with_id_for_and_date(self) -> None:
        text = received()
        self.assertTrue(text.startswith("from client.example ([192.0.2.1]) by mx.example "), text)
        for part in ("with ESMTP", "id ID1", "for <c@d.example>"):
            self.assertIn(part, text)
        self.assertEqual(parsedate_to_datetime(text.rpartition(";")[2]).timestamp(), int(NOW))

    def test_with_is_the_protocol_of_rfc_3848_and_6531(self) -> None:
        for client, utf8, expected in [
            (evolve(CLIENT, esmtp=False), False, "SMTP"),
            (CLIENT, False, "ESMTP"),
            (evolve(CLIENT, tls="TLSv1.3 X"), False, "ESMTPS"),
            (evolve(CLIENT, tls="TLSv1.3 X", identity="u"), False, "ESMTPSA"),
            (evolve(CLIENT, tls="TLSv1.3 X"), True, "UTF8SMTPS"),
        ]:
            transaction = Transaction("ID1", client, evolve(ENVELOPE, smtputf8=utf8))
            self.assertEqual(trace.protocol(transaction), expected)

    def test_several_recipients_do_not_see_each_other(self) -> None:
        both = evolve(ENVELOPE, recipients=(*ENVELOPE.recipients, Recipient(Mailbox("e", "d.example"))))
        self.assertNotIn("for <", received(envelope=both))

    def test_a_helo_that_is_no_domain_cannot_forge_anything(self) -> None:
        for helo in ("x) by evil (y", "a;b", "(", "\\", "a\r\nX-Forged: 1"):
            text = received(evolve(CLIENT, helo=helo))
            self.assertTrue(text.startswith("from [192.0.2.1] (HELO "), text)
            self.assertEqual(text.count("("), text.count(")"))
            self.assertNotIn("X-Forged: 1\r", text)

    def test_ipv6(self) -> None:
        self.assertIn("([IPv6:2001:db8::1])", received(evolve(CLIENT, address="2001:db8::1")))


class SpamFieldTests(SynchronousTestCase):
    def test_flag_score_and_folded_symbols(self) -> None:
        lines = tuple(VerdictLine(f"SYMBOL_{n}", "", "test", 0.5, 1.0, 0.5, 0.5 * n) for n in range(20))
        message = message_from_bytes(trace.spam_fields(Verdict("spam", 10.0, lines, "")) + b"\r\n")
        self.assertEqual(message["X-Spam-Flag"], "YES")
        self.assertEqual(message["X-Spam-Score"], "10.00")
        self.assertEqual(str(message["X-Spam-Symbols"]).count("=0.50"), 20)
        self.assertLess(max(map(len, str(message).splitlines())), 79)

    def test_without_symbols(self) -> None:
        fields = trace.spam_fields(Verdict("inbox", 0.0, (), ""))
        self.assertIn(b"X-Spam-Flag: NO\r\n", fields)
        self.assertNotIn(b"Symbols", fields)
