"""What the dialogues cannot show: the order of events and replies, bounds, and what a session may do."""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.reply import Reply
from mailgw.smtp import events
from mailgw.smtp.events import Event
from mailgw.smtp.server import READ_AHEAD, Extensions, ServerConnection, ServerLimits
from tests.smtp.responder import LIMITS, OK, Responder

BEFORE_DATA = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
GO_AHEAD = Reply(354, "", ("Go ahead",))
REFUSED = Reply(550, "5.7.1", ("No",))


def connect(extensions: Extensions | None = None, *, tls: bool = False) -> ServerConnection:
    return ServerConnection("mx.example", LIMITS, extensions or Extensions(starttls=True, auth=("PLAIN",)), tls=tls)


class OrderTests(SynchronousTestCase):
    def test_the_next_command_waits_for_the_answer(self) -> None:
        connection = connect()
        connection.receive(b"NOOP\r\nRSET\r\n")
        self.assertEqual(connection.next_event(), events.Noop())
        self.assertIsNone(connection.next_event())
        connection.receive(b"QUIT\r\n")
        self.assertIsNone(connection.next_event())
        self.assertEqual(connection.reply(OK), b"250 2.0.0 OK\r\n")
        self.assertEqual(connection.next_event(), events.Rset())

    def test_content_wants_no_answer(self) -> None:
        connection = self._in_data()
        connection.receive(b"one\r\n")
        self.assertEqual(connection.next_event(), events.Content(b"one"))
        self.assertIsNone(connection.next_event())
        connection.receive(b"two\r\n.\r\nNOOP\r\n")
        self.assertEqual(connection.next_event(), events.Content(b"\r\ntwo\r\n"))
        self.assertEqual(connection.next_event(), events.ContentEnd(10))
        self.assertIsNone(connection.next_event())
        connection.reply(OK)
        self.assertEqual(connection.next_event(), events.Noop())

    def test_content_sent_with_data(self) -> None:
        connection = connect()
        self._answer_all(connection, BEFORE_DATA)
        connection.receive(b"DATA\r\nx\r\n.\r\n")
        self.assertEqual(connection.next_event(), events.Data())
        connection.reply(GO_AHEAD)
        self.assertEqual(connection.next_event(), events.Content(b"x\r\n"))

    def test_events_of_a_transaction(self) -> None:
        connection = connect()
        self.assertEqual(
            self._answer_all(connection, b"EHLO c\r\nMAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nVRFY x\r\n"),
            [
                events.Hello(True, "c"),
                events.Mail(Mailbox("a", "b"), None, "8BITMIME"),
                events.Rcpt(Mailbox("c", "d")),
                events.Vrfy("x"),
            ],
        )

    def _in_data(self) -> ServerConnection:
        connection = connect()
        self._answer_all(connection, BEFORE_DATA + b"DATA\r\n", GO_AHEAD)
        return connection

    def _answer_all(self, connection: ServerConnection, data: bytes, data_reply: Reply = OK) -> list[Event]:
        connection.receive(data)
        seen: list[Event] = []
        while (event := connection.next_event()) is not None:
            seen.append(event)
            connection.reply(data_reply if isinstance(event, events.Data) else OK)
        return seen


class ReplyTests(SynchronousTestCase):
    """The session's answers move the state."""

    def next_kind(self, connection: ServerConnection, data: bytes, reply: Reply = OK) -> str:
        """Send a line, answer it with `reply`; give the kind of event, or of refusal."""
        connection.receive(data + b"\r\n")
        event = connection.next_event()
        connection.reply(event.reply if isinstance(event, events.Invalid) else reply)
        return event.reason if isinstance(event, events.Invalid) else type(event).__name__

    def test_refused_ehlo_leaves_the_state(self) -> None:
        """RFC 5321 4.1.4"""
        connection = connect()
        self.next_kind(connection, b"EHLO c", REFUSED)
        self.assertEqual(self.next_kind(connection, b"MAIL FROM:<>"), "bad_sequence")
        self.next_kind(connection, b"EHLO c")
        self.next_kind(connection, b"MAIL FROM:<>")
        self.next_kind(connection, b"EHLO d", REFUSED)
        self.assertEqual(self.next_kind(connection, b"RCPT TO:<a@b>"), "Rcpt")

    def test_refused_mail_opens_nothing(self) -> None:
        connection = connect()
        self.next_kind(connection, b"EHLO c")
        self.next_kind(connection, b"MAIL FROM:<>", REFUSED)
        self.assertEqual(self.next_kind(connection, b"RCPT TO:<a@b>"), "bad_sequence")
        self.assertEqual(self.next_kind(connection, b"MAIL FROM:<>"), "Mail")

    def test_refused_data_leaves_the_transaction(self) -> None:
        connection = connect()
        for line in BEFORE_DATA.split(b"\r\n")[:-1]:
            self.next_kind(connection, line)
        self.next_kind(connection, b"DATA", Reply(451, "4.3.0", ("Later",)))
        self.assertEqual(self.next_kind(connection, b"DATA", GO_AHEAD), "Data")
        self.assertEqual(self.next_kind(connection, b"."), "ContentEnd")

    def test_transaction_ends_with_the_data_even_when_it_is_refused(self) -> None:
        connection = connect()
        for line in BEFORE_DATA.split(b"\r\n")[:-1]:
            self.next_kind(connection, line)
        self.next_kind(connection, b"DATA", GO_AHEAD)
        self.next_kind(connection, b".", REFUSED)
        self.assertEqual(self.next_kind(connection, b"DATA"), "bad_sequence")
        self.assertEqual(self.next_kind(connection, b"MAIL FROM:<>"), "Mail")

    def test_closing_replies(self) -> None:
        for reply in (Reply(550, "5.7.1", ("No",), close=True), Reply(421, "4.3.2", ("Later",))):
            connection = connect()
            connection.receive(b"NOOP\r\nNOOP\r\n")
            connection.next_event()
            connection.reply(reply)
            self.assertIsNone(connection.next_event())
            connection.receive(b"NOOP\r\n" * 1000)
            self.assertIsNone(connection.next_event())
            self.assertEqual(connection.buffered, 0)

    def test_replies_without_an_event(self) -> None:
        """The greeting leaves the state alone; 421 for a timeout in the middle of data closes."""
        connection = connect()
        self.assertEqual(connection.reply(Reply(220, "", ("mx.example ESMTP",))), b"220 mx.example ESMTP\r\n")
        for line in BEFORE_DATA.split(b"\r\n")[:-1]:
            self.next_kind(connection, line)
        self.next_kind(connection, b"DATA", GO_AHEAD)
        connection.receive(b"some content")
        connection.next_event()
        connection.reply(Reply(421, "4.4.2", ("Timed out",), close=True))
        connection.receive(b"\r\n.\r\n")
        self.assertIsNone(connection.next_event())

    def test_status_codes(self) -> None:
        """RFC 2034 4: none in replies to EHLO, and none at all where they are not offered."""
        connection = connect()
        connection.receive(b"EHLO c\r\n")
        connection.next_event()
        self.assertEqual(connection.reply(REFUSED), b"550 No\r\n")
        connection = connect(Extensions(enhancedstatuscodes=False))
        connection.receive(b"XYZZY\r\n")
        event = connection.next_event()
        assert isinstance(event, events.Invalid)
        self.assertEqual(connection.reply(event.reply), b"500 Unknown command\r\n")

    def test_size_without_limit(self) -> None:
        """RFC 1870 4: SIZE may stand without a number."""
        self.assertIn("SIZE", connect(Extensions(size=0)).hello_reply(events.Hello(True, "c")).lines)
        self.assertNotIn("SIZE", connect(Extensions(size=None)).hello_reply(events.Hello(True, "c")).lines)


class TlsTests(SynchronousTestCase):
    def test_everything_is_forgotten(self) -> None:
        """RFC 3207 4.2"""
        responder = Responder(Extensions(starttls=True, auth=("PLAIN",)), tls=False)
        responder.receive([BEFORE_DATA, b"STARTTLS\r\n"])
        responder.connection.tls_started()
        responder.output = b""
        responder.receive([b"RCPT TO:<a@b>\r\nMAIL FROM:<>\r\nAUTH PLAIN AHVzZXIAc2VjcmV0\r\n"])
        self.assertEqual(responder.output.count(b"503 5.5.1 Send EHLO first\r\n"), 3)

    def test_implicit_tls(self) -> None:
        """TLS from the first byte: `tls_started` before anything was received."""
        responder = Responder(Extensions(starttls=True, auth=("PLAIN",)))
        responder.connection.tls_started()
        responder.receive([b"EHLO c\r\n"])
        self.assertIn(b"AUTH PLAIN\r\n", responder.output)
        self.assertNotIn(b"STARTTLS", responder.output)

    def test_bytes_between_command_and_answer_are_not_run(self) -> None:
        """CVE-2011-0411, with a second segment that comes while the session is about to answer."""
        connection = connect()
        connection.receive(b"EHLO c\r\n")
        connection.next_event()
        connection.reply(OK)
        connection.receive(b"STARTTLS\r\n")
        self.assertEqual(connection.next_event(), events.StartTls())
        connection.receive(b"MAIL FROM:<evil@example.org>\r\n")
        connection.reply(Reply(220, "2.0.0", ("Go ahead",)))
        connection.tls_started()
        event = connection.next_event()
        assert isinstance(event, events.Invalid)
        self.assertEqual(event.reason, "starttls_injection")
        self.assertTrue(event.reply.close)
        connection.reply(event.reply)
        connection.receive(b"NOOP\r\n")
        self.assertIsNone(connection.next_event())

    def test_starttls_refused_by_the_session(self) -> None:
        connection = connect()
        for line, reply in ((b"EHLO c\r\n", OK), (b"STARTTLS\r\n", Reply(454, "4.7.0", ("Not now",)))):
            connection.receive(line)
            connection.next_event()
            connection.reply(reply)
        connection.receive(b"MAIL FROM:<>\r\n")
        self.assertIsInstance(connection.next_event(), events.Mail)


class BoundTests(SynchronousTestCase):
    def test_line_of_ten_megabytes(self) -> None:
        """As a command and within a message: dropped as it comes, one refusal when it ends."""
        for before in (b"", BEFORE_DATA + b"DATA\r\n"):
            responder = Responder(limits=ServerLimits(message_size=100_000_000))
            responder.receive([before])
            answered = len(responder.output)
            piece = b"a" * 65536
            tracemalloc.start()
            responder.receive(piece for _ in range(160))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertLess(peak, 4 * len(piece))
            self.assertLess(responder.held, 5000)
            self.assertEqual(len(responder.output), answered)
            responder.receive([b"\r\n.\r\nNOOP\r\n" if before else b"\r\nNOOP\r\n"])
            kinds = [type(event) for event in responder.events[-2:]]
            self.assertEqual(kinds, [events.ContentEnd if before else events.Invalid, events.Noop])

    def test_too_much_ahead_of_an_answer(self) -> None:
        """A client that goes on sending while a command is unanswered, to a caller that does not pause it."""
        connection = connect()
        connection.receive(b"NOOP\r\n")
        connection.next_event()
        for _ in range(1000):
            connection.receive(b"NOOP\r\n" * 1000)
            self.assertLessEqual(connection.buffered, READ_AHEAD + 6000)
        connection.reply(OK)
        event = connection.next_event()
        assert isinstance(event, events.Invalid)
        self.assertEqual((event.reply.code, event.reply.close), (421, True))
        connection.reply(event.reply)
        self.assertIsNone(connection.next_event())

    def test_large_message_in_one_piece(self) -> None:
        responder = Responder(limits=ServerLimits(message_size=10_000_000))
        responder.receive([BEFORE_DATA, b"DATA\r\n" + b"0123456\r\n" * 500_000 + b".\r\nQUIT\r\n"])
        self.assertEqual(responder.events[-2], events.ContentEnd(4_500_000))
        self.assertTrue(responder.closed)

    def test_long_helo_in_many_pieces(self) -> None:
        responder = Responder()
        responder.receive([b"HELO "] + [b"a"] * 5000 + [b"\r\n"])
        self.assertLessEqual(responder.held, LIMITS.command_line)
        self.assertEqual(responder.output, b"500 5.5.2 The line is too long\r\n")
