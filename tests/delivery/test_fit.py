"""What a message needs of a peer: SIZE, 8BITMIME, SMTPUTF8, DSN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred

from mailgw.delivery.attempt import MAX_CONVERTED
from mailgw.mail.message import FileContent, Message, head_of
from mailgw.queue.item import Delayed, Delivered, Failed
from tests.delivery.peers import PLAIN_EHLO, deliveries, queued
from tests.delivery.test_relay import RelayTestCase

P = ParamSpec("P")
T = TypeVar("T")
EIGHT_BIT = "Subject: x\r\n\r\ngrüße\r\n".encode()
UTF8_HEADER = "Subject: grüße\r\n\r\nx\r\n".encode()
DSN_EHLO = b"250-mx.example\r\n250 DSN\r\n"


class ContentTestCase(RelayTestCase):
    def in_a_file(self, content: bytes) -> Any:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        return evolve(queued(), message=Message(FileContent(path, len(content)), head_of(content)))


class FitTests(ContentTestCase):
    def test_size_is_what_goes_out(self) -> None:
        peer = self.peer()
        message = queued(b"A: 1\r\nB: 2\r\n\r\nx\r\n")
        message = evolve(message, message=evolve(message.message, prefix=b"R: 0\r\n", cuts=((6, 12),)))
        self.deliver(message)
        self.assertEqual(peer.contents, [b"R: 0\r\nA: 1\r\n\r\nx\r\n"])
        self.assertIn(f"SIZE={len(peer.contents[0])}", peer.sessions[0][1])

    def test_too_large(self) -> None:
        peer = self.peer(EHLO=b"250-mx\r\n250 SIZE 100\r\n")
        (outcome,) = self.deliver(queued(b"x\r\n" * 50))
        self.assertIsInstance(outcome, Failed)
        self.assertEqual(outcome.status, "5.3.4")
        self.assertEqual(len(peer.sessions[0]), 1)
        self.assertIsInstance(self.deliver(queued(b"x\r\n" * 33))[0], Delivered)
        self.assertEqual(len(peer.sessions), 1)

    def test_no_fixed_maximum(self) -> None:
        self.peer(EHLO=b"250-mx\r\n250 SIZE\r\n")
        self.assertIsInstance(self.deliver()[0], Delivered)

    def test_eight_bit(self) -> None:
        peer = self.peer()
        for message in (queued(EIGHT_BIT), self.in_a_file(EIGHT_BIT), queued(body="8BITMIME")):
            self.assertIsInstance(self.deliver(message)[0], Delivered)
        commands = [line for line in peer.sessions[0] if line.startswith("MAIL")]
        self.assertTrue(all(line.endswith("BODY=8BITMIME") for line in commands), commands)

    def test_seven_bit_says_nothing(self) -> None:
        peer = self.peer()
        self.deliver()
        self.assertNotIn("BODY", peer.sessions[0][1])

    def test_eight_bit_not_offered(self) -> None:
        """RFC 6152 3: it is converted."""
        peer = self.peer(EHLO=PLAIN_EHLO)
        for message in (queued(EIGHT_BIT), self.in_a_file(EIGHT_BIT)):
            message = evolve(message, message=evolve(message.message, prefix=b"Received: x\r\n", cuts=((0, 12),)))
            (outcome,) = self.deliver(message)
            self.assertIn("clear text, converted to 7-bit MIME", outcome.detail)
        expected = (
            b"Received: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=C3=9Fe\r\n"
        )
        self.assertEqual(peer.contents, [expected, expected])
        self.assertNotIn("BODY", str(peer.sessions))

    def test_what_is_seven_bit_goes_as_it_is(self) -> None:
        peer = self.peer(EHLO=PLAIN_EHLO)
        for message in (queued(body="8BITMIME"), self.in_a_file(b"Subject: x\r\n\r\nx\r\n")):
            self.assertIsInstance(self.deliver(message)[0], Delivered)
        self.assertEqual(peer.contents, [b"Subject: x\r\n\r\nHello\r\n", b"Subject: x\r\n\r\nx\r\n"])

    def test_eight_bit_that_cannot_be_converted(self) -> None:
        self.peer(EHLO=PLAIN_EHLO)
        signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\r\n--b--\r\n"
        large = b"Subject: x\r\n\r\n" + b"\xc3" * MAX_CONVERTED
        for content, words in (
            (signed, "it cannot be converted: it holds 8-bit text in multipart/signed"),
            (UTF8_HEADER, "it cannot be converted: its header is not ASCII"),
            (large, "only up to 8388608 octets are converted"),
        ):
            (outcome,) = self.deliver(queued(content))
            self.assertEqual((type(outcome), outcome.status), (Failed, "5.6.3"))
            self.assertIn("it does not offer 8BITMIME", outcome.reason)
            self.assertIn(words, outcome.reason)

    def test_smtputf8(self) -> None:
        peer = self.peer()
        to = deliveries("route:hop", ["jürgen@bücher.example"])
        self.assertIsInstance(self.deliver(queued(UTF8_HEADER, "büro@example.net", smtputf8=True), to)[0], Delivered)
        self.assertEqual(
            peer.sessions[0][1:3],
            ["MAIL FROM:<büro@example.net> SIZE=23 BODY=8BITMIME SMTPUTF8", "RCPT TO:<jürgen@bücher.example>"],
        )

    def test_smtputf8_is_said_only_when_it_is_needed(self) -> None:
        peer = self.peer()
        self.deliver(queued(smtputf8=True))
        self.assertNotIn("SMTPUTF8", peer.sessions[0][1])

    def test_smtputf8_not_offered(self) -> None:
        peer = self.peer(EHLO=b"250-mx\r\n250 8BITMIME\r\n")
        to = deliveries("route:hop", ["jürgen@example.org", "alice@example.org", "info@bücher.example"])
        outcomes = self.deliver(queued(smtputf8=True), to)
        self.assertEqual([type(outcome) for outcome in outcomes], [Failed, Delivered, Delivered])
        self.assertEqual(outcomes[0].status, "5.6.7")
        self.assertIn("RCPT TO:<info@xn--bcher-kva.example>", peer.sessions[0])
        (outcome,) = self.deliver(queued(reverse_path="büro@example.net", smtputf8=True))
        self.assertEqual(outcome.status, "5.6.7")
        (outcome,) = self.deliver(queued(UTF8_HEADER, smtputf8=True))
        self.assertEqual(outcome.status, "5.6.9")

    def test_our_own_trace_behind_an_alias(self) -> None:
        """The recipient that it names is no reason to fail where only the target's address counts."""
        message = queued(smtputf8=True)
        prefix = "Received: from x\r\n by y with UTF8SMTP id z\r\n for <jörg@y>;\r\n Mon\r\n".encode()
        message = evolve(message, message=evolve(message.message, prefix=prefix))
        peer = self.peer()
        self.assertIsInstance(self.deliver(message)[0], Delivered)
        self.assertTrue(peer.sessions[0][1].endswith(" SMTPUTF8"))
        self.assertIn(prefix, peer.contents[0])
        self.agent = self.make_agent()
        peer = self.peer(EHLO=PLAIN_EHLO)
        self.assertIsInstance(self.deliver(message)[0], Delivered)
        self.assertTrue(peer.contents[0].startswith(b"Received: from x\r\n by y with UTF8SMTP id z;\r\n Mon\r\n"))

    def test_eight_bit_header_of_an_old_client(self) -> None:
        """Without SMTPUTF8 from the client it is plain 8-bit text, which 8BITMIME takes as it always did."""
        self.peer(EHLO=b"250-mx\r\n250 8BITMIME\r\n")
        self.assertIsInstance(self.deliver(queued(UTF8_HEADER))[0], Delivered)

    def test_notifications_are_passed_on(self) -> None:
        peer = self.peer(EHLO=DSN_EHLO)
        to = deliveries("route:hop", notify=frozenset({"FAILURE", "DELAY"}), orcpt="rfc822;a+b@example.org")
        self.deliver(queued(ret="HDRS", envid="id 1"), to)
        self.assertEqual(
            peer.sessions[0][1:3],
            [
                "MAIL FROM:<bob@example.net> RET=HDRS ENVID=id+201",
                "RCPT TO:<alice@example.org> NOTIFY=DELAY,FAILURE ORCPT=rfc822;a+2Bb@example.org",
            ],
        )

    def test_who_offers_dsn_reports_from_there_on(self) -> None:
        """RFC 3461 5.2.2: else the delivery counts as relayed, or by LMTP as delivered."""
        for offered, protocol, action in (
            (DSN_EHLO, "smtp", ""),
            (PLAIN_EHLO, "smtp", "relayed"),
            (PLAIN_EHLO, "lmtp", "delivered"),
        ):
            self.routes["hop"] = evolve(self.routes["hop"], protocol=protocol)
            self.agent = self.make_agent()
            self.peer(EHLO=offered, LHLO=offered)
            (outcome,) = self.deliver()
            self.assertEqual(outcome.action, action)

    def test_original_recipient_that_is_not_ascii(self) -> None:
        """RFC 6533 3: readable in a transaction with SMTPUTF8, encoded in others."""
        utf8_dsn = b"250-mx.example\r\n250-DSN\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
        for offered, address, orcpt in (
            (utf8_dsn, "jörg@example.org", "utf-8;ö@example.net"),
            (utf8_dsn, "alice@example.org", r"utf-8;\x{F6}@example.net"),
            (DSN_EHLO, "alice@example.org", r"utf-8;\x{F6}@example.net"),
        ):
            self.agent = self.make_agent()
            peer = self.peer(EHLO=offered)
            self.deliver(queued(), deliveries("route:hop", [address], orcpt="utf-8;ö@example.net"))
            self.assertEqual(peer.sessions[0][2], f"RCPT TO:<{address}> ORCPT={orcpt}")

    def test_notifications_not_offered(self) -> None:
        peer = self.peer(EHLO=PLAIN_EHLO)
        self.deliver(queued(ret="HDRS"), deliveries("route:hop", notify=frozenset({"NEVER"})))
        self.assertEqual(peer.sessions[0][1:3], ["MAIL FROM:<bob@example.net>", "RCPT TO:<alice@example.org>"])


class SlowThreads:
    """Work waits until `go_on`."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        waits: Deferred[None] = Deferred()
        self.waiting.append(waits)
        await waits
        return work(*args, **kwargs)

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for waits in waiting:
            waits.callback(None)


class FileTests(ContentTestCase):
    """A content in a file goes out piece by piece."""

    def test_large_content(self) -> None:
        peer = self.peer()
        content = b"Subject: x\r\n\r\n" + b"".join(b".%d\r\n" % n for n in range(300_000))
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        self.agent = self.make_agent()
        peer.script["EHLO"] = b"250-mx.example\r\n250 8BITMIME\r\n"
        message = evolve(queued(), message=Message(FileContent(path, len(content)), head_of(content)))
        self.assertIsInstance(self.deliver(message)[0], Delivered)
        self.assertEqual(peer.contents[0].replace(b"\r\n..", b"\r\n."), content)

    def test_refused_in_the_middle(self) -> None:
        """There is no other way to end the content than to end the connection."""
        for peer_says, outcome_is in ((b"552 5.3.4 too much\r\n", Failed), (b"421 4.3.2 bye\r\n", Delayed)):
            peer = self.peer()
            threads = SlowThreads()
            self.agent = self.make_agent(threads=threads)
            attempt = self.start(self.in_a_file(b"x\r\n" * 300_000))
            threads.go_on()
            self.network.run()
            peer.last.transport.write(peer_says)
            self.network.run()
            (outcome,) = self.successResultOf(attempt)
            self.assertIsInstance(outcome, outcome_is)
            threads.go_on()
            self.network.run()
            self.assertEqual((peer.contents, peer.open, threads.waiting), ([], 0, []))

    def test_hang_up_in_the_middle(self) -> None:
        peer = self.peer()
        threads = SlowThreads()
        self.agent = self.make_agent(threads=threads)
        attempt = self.start(self.in_a_file(b"x\r\n" * 300_000))
        threads.go_on()
        self.network.run()
        peer.last.transport.loseConnection()
        self.network.run()
        (outcome,) = self.successResultOf(attempt)
        self.assertEqual((outcome.status, outcome.site_wide), ("4.4.2", False))
        threads.go_on()
        self.assertEqual(threads.waiting, [])

    def test_content_that_is_gone_is_our_trouble(self) -> None:
        peer = self.peer()
        message = evolve(queued(), message=Message(FileContent("/nonexistent/content", 20), b""))
        (outcome,) = self.deliver(message)
        self.assertEqual(outcome.status, "4.3.0")
        self.assertFalse(outcome.site_wide)
        self.assertIn("No such file", outcome.reason)
        self.assertEqual(peer.contents, [])
        self.assertEqual(peer.open, 0)
