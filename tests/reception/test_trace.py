"""Received (RFC 5321 4.4) and the X-Spam fields."""

from __future__ import annotations

from email import message_from_bytes
from email.utils import parsedate_to_datetime

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.evidence import AuthResult
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client, Transaction
from mailgw.mail.verdict import Verdict, VerdictLine
from mailgw.reception import trace

CLIENT = Client("S", "mx", "192.0.2.1", helo="client.example", esmtp=True)
ENVELOPE = Envelope(Mailbox("a", "b.example"), (Recipient(Mailbox("c", "d.example")),))
NOW = 1_700_000_000.5


def received(client: Client = CLIENT, envelope: Envelope = ENVELOPE, iprev: str = "", **hide: bool) -> str:
    result = AuthResult("iprev", "pass" if iprev else "permerror", comment=iprev)
    field = trace.received(Transaction("ID1", client, envelope, auth=[result]), "mx.example", NOW, **hide)
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

    def test_the_verified_name_of_the_address(self) -> None:
        text = received(iprev="host.client.example")
        self.assertTrue(text.startswith("from client.example (host.client.example [192.0.2.1]) by "), text)
        for odd in ("a) by evil (b", "x y", "a\\.example", "\u2028"):
            self.assertTrue(received(iprev=odd).startswith("from client.example ([192.0.2.1]) by "), odd)

    def test_a_users_message_is_completed(self) -> None:
        bare = Message.from_bytes(b"From: a@example.org\r\n\r\nx\r\n")
        self.assertEqual(
            trace.completion(bare, "ID1", "mail.example.org", 0.0),
            b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nMessage-ID: <ID1@mail.example.org>\r\n",
        )
        full = Message.from_bytes(b"date: yesterday\r\nMESSAGE-ID: <x@y>\r\n\r\nx\r\n")
        self.assertEqual(trace.completion(full, "ID1", "mail.example.org", 0.0), b"")

    def test_a_users_address_can_be_hidden(self) -> None:
        user = evolve(CLIENT, tls="TLSv1.3 X", identity="ann@mx.example", helo="anns-phone.home.example")
        text = received(user, hide_client=True)
        for part in ("192.0.2.1", "anns-phone", "ann@"):
            self.assertNotIn(part, text)
        self.assertTrue(text.startswith("from client.invalid (authenticated user) by mx.example "), text)
        for part in ("with ESMTPSA", "id ID1", "; Tue, 14 Nov 2023 22:13:20 +0000"):
            self.assertIn(part, text)
        self.assertIn("192.0.2.1", received(user))
        self.assertIn("192.0.2.1", received(hide_client=True))  # only users are hidden


class LoopTests(SynchronousTestCase):
    def loop(self, head: str) -> str:
        return trace.loop(Message.from_bytes(head.encode() + b"\r\nbody"), "mx.example", 50)

    def test_too_many_servers(self) -> None:
        self.assertEqual(self.loop("Received: from a by b\r\n" * 50), "")
        self.assertIn("51 Received fields", self.loop("Received: from a by b\r\n" * 51))

    def test_here_again_and_again(self) -> None:
        ours = trace.received(Transaction("ID1", CLIENT, ENVELOPE), "mx.example", NOW).decode()
        self.assertEqual(self.loop(ours * 10), "")
        self.assertIn("11 times", self.loop(ours * 11))
        self.assertEqual(self.loop(ours.replace("mx.example", "other.example") * 11), "")


class ReturnPathTests(SynchronousTestCase):
    def output(self, data: bytes) -> bytes:
        message = Message.from_bytes(data)
        return b"".join(evolve(message, cuts=trace.cuts(message, trace.RETURN_PATH)).output())

    def test_they_are_cut(self) -> None:
        rest = b"Subject: x\r\n\r\nReturn-Path: <in@the.body>\r\n"
        for field in (b"Return-Path: <a@b>\r\n", b"return-path :\r\n <a@b>\r\n", b"RETURN-PATH: x\r\n" * 3):
            self.assertEqual(self.output(field + rest), rest)
            self.assertEqual(self.output(b"From: a\r\n" + field + rest), b"From: a\r\n" + rest)

    def test_a_message_without_one_stays_as_it_is(self) -> None:
        for data in (b"Subject: Return-Path: x\r\n\r\n", b"", b"\r\n", b"no field\r\nReturn-Path-X: 1\r\n\r\nx"):
            self.assertEqual(self.output(data), data)

    def test_overlapping_cuts_become_one(self) -> None:
        self.assertEqual(trace.merged([(10, 20), (0, 5), (12, 15), (19, 25), (25, 30)]), ((0, 5), (10, 25), (25, 30)))


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
