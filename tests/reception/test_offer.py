"""What a listener offers, and the line ends that it takes."""

from __future__ import annotations

from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Extension, Limits
from tests.reception.harness import Server, codes


class OfferTests(SynchronousTestCase):
    def offered(self, server: Server) -> set[str]:
        lines = server.connect().say("EHLO c.example").splitlines()
        return {line[4:].split(" ")[0] for line in lines[1:]}

    def test_each_can_be_left_out(self) -> None:
        everything = self.offered(Server())
        for word in get_args(Extension):
            left = self.offered(Server(without=(word,)))
            gone = {word, "SMTPUTF8"} if word == "8BITMIME" else {word}  # RFC 6531 3.1: not without 8BITMIME
            self.assertEqual(left, everything - gone)
        # REQUIRETLS waits for TLS.
        self.assertEqual(everything, set(get_args(Extension)) - {"REQUIRETLS"})

    def test_limits_are_told_and_kept(self) -> None:
        peer = Server(limits=Limits(recipients=2, transactions=3)).connect()
        self.assertIn("LIMITS RCPTMAX=2 MAILMAX=3\r\n", peer.say("EHLO c.example"))
        self.assertEqual(codes(peer.say("MAIL FROM:<>", *["RCPT TO:<alice@ours.example>"] * 3)), ["250"] * 3 + ["452"])
        for code in ("250", "250", "421"):
            self.assertEqual(codes(peer.say("RSET", "MAIL FROM:<>")), ["250", code])


class LineEndTests(SynchronousTestCase):
    smuggled = b"a\n.\nMAIL FROM:<smuggled@b.example>\r\nRCPT TO:<alice@ours.example>\r\nDATA\r\nb\r\n.\r\n"

    def setUp(self) -> None:
        self.server = Server(normalise_networks=("192.0.2.0/24",))

    def send(self, address: str) -> str:
        peer = self.server.connect(address)
        peer.say("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@ours.example>", "DATA")
        return peer.send(self.smuggled + b"NOOP\r\n")

    def test_from_a_network_that_is_named_they_become_crlf(self) -> None:
        self.assertEqual(codes(self.send("192.0.2.1")), ["250", "250"])
        (entry,) = self.server.offered
        content = b"".join(entry.message.message.content.open())
        self.assertEqual(content, self.smuggled[:-3].replace(b"\n.\n", b"\r\n.\r\n"))
        self.assertEqual(str(entry.message.envelope.reverse_path), "a@b.example")

    def test_from_elsewhere_they_are_refused(self) -> None:
        self.assertEqual(codes(self.send("198.51.100.1")), ["521"])
        self.assertEqual(self.server.offered, [])

    def test_by_bdat_too(self) -> None:
        for address, code in (("192.0.2.1", "250"), ("198.51.100.1", "554")):
            peer = self.server.connect(address)
            peer.say("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@ours.example>")
            sent = b"BDAT %d LAST\r\n%bNOOP\r\n" % (len(self.smuggled), self.smuggled)
            self.assertEqual(codes(peer.send(sent)), [code, "250"])
        (entry,) = self.server.offered
        self.assertNotIn(b"\n.\nMAIL", b"".join(entry.message.message.content.open()).replace(b"\r\n", b""))
