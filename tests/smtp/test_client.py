"""The client's side of SMTP, without I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import Reply
from mailgw.smtp.client import (
    MAX_REPLY_LINE,
    MAX_REPLY_LINES,
    Capabilities,
    DotStuffer,
    MailTransaction,
    PeerError,
    ReplyReader,
    Step,
    auth_plain,
    command,
)


def split(data: bytes, source: random.Random) -> list[bytes]:
    """Cut the bytes at random places; some pieces are empty."""
    cuts = sorted(source.randrange(len(data) + 1) for _ in range(source.randrange(6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


class ReplyReaderTests(SynchronousTestCase):
    def read(self, *pieces: bytes) -> list[Reply]:
        reader = ReplyReader()
        return [reply for piece in pieces for reply in reader.receive(piece)]

    def test_one_line(self) -> None:
        self.assertEqual(self.read(b"250 2.1.0 Ok\r\n"), [Reply(250, "2.1.0", ("Ok",))])
        self.assertEqual(self.read(b"250 Ok\r\n"), [Reply(250, "", ("Ok",))])
        self.assertEqual(self.read(b"250\r\n"), [Reply(250, "", ("",))])
        self.assertEqual(self.read(b"354 go\n"), [Reply(354, "", ("go",))])

    def test_lines(self) -> None:
        (reply,) = self.read(b"550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n")
        self.assertEqual(reply, Reply(550, "5.1.1", ("no", "such", "user")))

    def test_several_at_once(self) -> None:
        self.assertEqual([reply.code for reply in self.read(b"250 a\r\n550 b\r\n354 c\r\n")], [250, 550, 354])

    def test_no_ascii(self) -> None:
        self.assertEqual(self.read("550 schön\r\n".encode())[0].text, "schön")
        self.assertEqual(self.read(b"550 sch\xf6n\r\n")[0].text, "sch\ufffdn")

    def test_any_chunking_gives_the_same(self) -> None:
        data = b"220 hi\r\n250-mx\r\n250-SIZE 5\r\n250 DSN\r\n250 2.1.0 a\r\n550-5.1.1 x\r\n550 5.1.1 y\r\n354\r\n"
        whole = self.read(data)
        source = random.Random(1)
        for _ in range(500):
            self.assertEqual(self.read(*split(data, source)), whole)

    def test_what_is_no_reply(self) -> None:
        for data in (
            b"hello\r\n",
            b"25 x\r\n",
            b"199 x\r\n",
            b"600 x\r\n",
            b"250x\r\n",
            b"\r\n",
            b"\xef\xbc\x92\xef\xbc\x95\xef\xbc\x90 x\r\n",
        ):
            self.assertRaises(PeerError, self.read, data)
        self.assertRaises(PeerError, self.read, b"250-a\r\n550 b\r\n")

    def test_bounds(self) -> None:
        self.assertRaises(PeerError, self.read, b"250 " + b"x" * MAX_REPLY_LINE)
        self.assertRaises(PeerError, self.read, b"250 " + b"x" * MAX_REPLY_LINE + b"\r\n")
        self.assertRaises(PeerError, self.read, b"250-x\r\n" * (MAX_REPLY_LINES + 1))

    def test_hostile_bytes_raise_nothing_else_and_stay_bounded(self) -> None:
        source = random.Random(2)
        alphabet = [b"2", b"5", b"0", b"-", b" ", b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"x" * 700, b"250-", b"250 "]
        for _ in range(2000):
            reader = ReplyReader()
            try:
                for _ in range(20):
                    reader.receive(b"".join(source.choices(alphabet, k=5)))
                    self.assertLessEqual(reader.buffered, MAX_REPLY_LINE + MAX_REPLY_LINES)
            except PeerError:
                pass


class CapabilitiesTests(SynchronousTestCase):
    def parse(self, *lines: str) -> Capabilities:
        return Capabilities.parse(Reply(250, "", lines))

    def test_all(self) -> None:
        self.assertEqual(
            self.parse(
                "mx.example hi",
                "PIPELINING",
                "size 1000",
                "8BITMIME",
                "SMTPUTF8",
                "DSN",
                "STARTTLS",
                "AUTH PLAIN login",
            ),
            Capabilities("mx.example", 1000, True, True, True, True, True, frozenset({"PLAIN", "LOGIN"})),
        )

    def test_none(self) -> None:
        self.assertEqual(self.parse("mx.example"), Capabilities("mx.example"))

    def test_size(self) -> None:
        for line, size in (("SIZE", 0), ("SIZE 0", 0), ("SIZE lots", 0), ("SIZE " + "9" * 30, 0), ("SIZE 7", 7)):
            self.assertEqual(self.parse("mx", line).size, size)

    def test_old_form_of_auth(self) -> None:
        self.assertEqual(self.parse("mx", "AUTH=LOGIN", "AUTH PLAIN").auth, {"LOGIN", "PLAIN"})

    def test_greeting_is_no_extension(self) -> None:
        self.assertFalse(self.parse("PIPELINING").pipelining)


class CommandTests(SynchronousTestCase):
    def test_no_second_command(self) -> None:
        for text in ("EHLO a\r\nMAIL", "EHLO a\nb", "EHLO \0"):
            self.assertRaises(ValueError, command, text)

    def test_auth_plain(self) -> None:
        self.assertEqual(auth_plain("user", "pass"), b"AUTH PLAIN AHVzZXIAcGFzcw==\r\n")
        self.assertRaises(ValueError, auth_plain, "a\0b", "c")


class DotStufferTests(SynchronousTestCase):
    def stuffed(self, *pieces: bytes) -> bytes:
        stuffer = DotStuffer()
        return b"".join([*map(stuffer.feed, pieces), stuffer.end()])

    def test_examples(self) -> None:
        for content, sent in (
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\n..\r\n", b"a\r\n...\r\n.\r\n"),
            (b"\r\n.\r\n.\r\n", b"\r\n..\r\n..\r\n.\r\n"),
        ):
            self.assertEqual(self.stuffed(content), sent, content)

    def test_no_bare_line_end_goes_out(self) -> None:
        """What a server with other ideas of a line would take for the end of data cannot go out."""
        for content in (
            b"a\n.\nMAIL FROM:<x>\n",
            b"a\r.\rb",
            b"a\n.\r\nb",
            b"a\r\n.\nb",
            b"a\r.\r\nb",
            b"a\r\r\n.\r\nb",
        ):
            sent = self.stuffed(content)
            self.assertTrue(sent.endswith(b"\r\n.\r\n"))
            body = sent[: -len(b".\r\n")]
            self.assertEqual(body.count(b"\n"), body.count(b"\r\n"))
            self.assertEqual(body.count(b"\r"), body.count(b"\r\n"))
            self.assertNotIn(b"\r\n.\r\n", body)

    def test_any_chunking_gives_the_same(self) -> None:
        source = random.Random(3)
        for _ in range(10_000):
            content = b"".join(source.choices([b".", b"\r\n", b"\r", b"\n", b"a"], [4, 5, 1, 1, 2], k=12))
            pieces = split(content, source)
            whole = self.stuffed(content)
            self.assertEqual(self.stuffed(*pieces), whole, (content, pieces))
            self.assertEqual((b"\r\n" + whole).count(b"\r\n.\r\n"), 1, content)

    def test_server_reads_what_was_meant(self) -> None:
        source = random.Random(4)
        for _ in range(2000):
            content = b"".join(source.choices([b".", b"\r\n", b"a"], k=12)) + b"\r\n"
            sent = self.stuffed(*split(content, source))
            lines = sent[: -len(b".\r\n")].split(b"\r\n")
            self.assertEqual(b"\r\n".join(line.removeprefix(b".") for line in lines), content)


def reply(code: int) -> Reply:
    return Reply(code, "", ("text",))


class TransactionTests(SynchronousTestCase):
    """`>` is what the client writes; numbers are replies; `content` is where the content is asked for."""

    def make(self, recipients: int = 1, **options: bool) -> MailTransaction:
        return MailTransaction(b"MAIL\r\n", [b"RCPT%d\r\n" % n for n in range(recipients)], **options)

    def feed(self, transaction: MailTransaction, *codes: int) -> bytes:
        written = b""
        for code in codes:
            if transaction.step is Step.CONTENT:
                transaction.content_sent()
            written += transaction.receive(reply(code))
        return written

    def codes(self, transaction: MailTransaction) -> Sequence[tuple[int, str] | None]:
        return [result and (result.reply.code, result.command) for result in transaction.results]

    def test_pipelined(self) -> None:
        transaction = self.make(2, pipelining=True)
        self.assertEqual(transaction.start(), b"MAIL\r\nRCPT0\r\nRCPT1\r\nDATA\r\n")
        self.assertEqual(self.feed(transaction, 250, 250, 250, 354), b"")
        self.assertIs(transaction.step, Step.CONTENT)
        self.feed(transaction, 250)
        self.assertIs(transaction.step, Step.DONE)
        self.assertEqual(self.codes(transaction), [(250, "end of data")] * 2)
        self.assertFalse(transaction.unfinished)

    def test_one_by_one(self) -> None:
        transaction = self.make(2, reset=True)
        self.assertEqual(transaction.start(), b"RSET\r\n")
        written = [self.feed(transaction, code) for code in (250, 250, 250, 251, 354, 250)]
        self.assertEqual(written, [b"MAIL\r\n", b"RCPT0\r\n", b"RCPT1\r\n", b"DATA\r\n", b"", b""])
        self.assertEqual(self.codes(transaction), [(250, "end of data")] * 2)

    def test_reset_is_pipelined_too(self) -> None:
        transaction = self.make(pipelining=True, reset=True)
        self.assertEqual(transaction.start(), b"RSET\r\nMAIL\r\nRCPT0\r\nDATA\r\n")
        self.feed(transaction, 250, 250, 250, 354, 250)
        self.assertIs(transaction.step, Step.DONE)

    def test_mail_refused(self) -> None:
        transaction = self.make(2)
        self.assertEqual(self.feed(transaction, 550), b"")
        self.assertEqual(self.codes(transaction), [(550, "MAIL")] * 2)
        self.assertFalse(transaction.unfinished)
        transaction = self.make(2, pipelining=True)
        self.feed(transaction, 550, 503, 503, 503)
        self.assertEqual(self.codes(transaction), [(550, "MAIL")] * 2)
        self.assertIs(transaction.step, Step.DONE)

    def test_mail_refused_and_data_taken(self) -> None:
        transaction = self.make(pipelining=True)
        self.assertEqual(self.feed(transaction, 550, 250, 354), b".\r\n")
        self.feed(transaction, 250)
        self.assertEqual(self.codes(transaction), [(550, "MAIL")])
        self.assertIs(transaction.step, Step.DONE)

    def test_some_recipients_refused(self) -> None:
        for pipelining in (False, True):
            transaction = self.make(3, pipelining=pipelining)
            self.feed(transaction, 250, 550, 250, 450, 354, 250)
            self.assertEqual(self.codes(transaction), [(550, "RCPT"), (250, "end of data"), (450, "RCPT")])

    def test_all_recipients_refused(self) -> None:
        transaction = self.make(2)
        self.assertEqual(self.feed(transaction, 250, 550, 550), b"RCPT0\r\nRCPT1\r\n")
        self.assertIs(transaction.step, Step.DONE)
        self.assertTrue(transaction.unfinished)
        transaction = self.make(2, pipelining=True)
        self.feed(transaction, 250, 550, 450, 503)
        self.assertEqual(self.codes(transaction), [(550, "RCPT"), (450, "RCPT")])
        self.assertTrue(transaction.unfinished)

    def test_data_refused(self) -> None:
        transaction = self.make(2, pipelining=True)
        self.feed(transaction, 250, 250, 550, 451)
        self.assertEqual(self.codes(transaction), [(451, "DATA"), (550, "RCPT")])

    def test_421_ends_it_anywhere(self) -> None:
        for before in ((), (250,), (250, 250), (250, 250, 354)):
            transaction = self.make(pipelining=True)
            self.feed(transaction, *before, 421)
            self.assertEqual([result and result.reply.code for result in transaction.results], [421])
            self.assertTrue(transaction.closing)
            self.assertEqual(transaction.heard, bool(before))

    def test_refusal_in_the_middle_of_the_content(self) -> None:
        transaction = self.make(pipelining=True)
        for code in (250, 250, 354, 552):
            transaction.receive(reply(code))
        self.assertEqual(self.codes(transaction), [(552, "end of data")])
        self.assertTrue(transaction.closing)

    def test_taken_before_the_content_was_sent(self) -> None:
        """A 250 that comes too early must never count for a delivery."""
        transaction = self.make(pipelining=True)
        for code in (250, 250, 354):
            transaction.receive(reply(code))
        self.assertRaises(PeerError, transaction.receive, reply(250))
        self.assertEqual(transaction.results, [None])

    def test_replies_that_make_no_sense(self) -> None:
        for codes in ((354,), (250, 354), (250, 250, 250), (250, 250, 354, 354), (250, 250, 354, 250, 250)):
            transaction = self.make(pipelining=True)
            with self.assertRaises(PeerError):
                self.feed(transaction, *codes)
        self.assertRaises(PeerError, self.make(reset=True).receive, reply(500))

    def test_lmtp_has_a_reply_for_each_accepted_recipient(self) -> None:
        transaction = self.make(3, pipelining=True, lmtp=True)
        self.feed(transaction, 250, 250, 550, 250, 354, 250, 452)
        self.assertEqual(self.codes(transaction), [(250, "end of data"), (550, "RCPT"), (452, "end of data")])
        self.assertIs(transaction.step, Step.DONE)

    def test_any_replies_raise_nothing_else(self) -> None:
        source = random.Random(5)
        for _ in range(5000):
            transaction = self.make(
                source.randrange(1, 4), pipelining=source.random() < 0.5, reset=source.random() < 0.5
            )
            transaction.start()
            try:
                while transaction.step is not Step.DONE:
                    self.feed(transaction, source.choice([250, 250, 250, 354, 354, 421, 450, 550]))
            except PeerError:
                continue
            self.assertNotIn(None, transaction.results)
            if any(result and result.reply.code == 250 for result in transaction.results):
                self.assertTrue(transaction.content_complete)
