"""The message after 354: its end, its dots, and what makes it unacceptable."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from mailgw.smtp.data import BARE_LINE_END, NUL_OCTET, DataReader


def read(*pieces: bytes, size_limit: int = 10_000, line_limit: int = 1000) -> tuple[bytes, bytes | None, DataReader]:
    """Feed the pieces until the end; give content, what stands behind the end (None without one) and the reader."""
    reader = DataReader(size_limit, line_limit)
    content = b""
    for position, piece in enumerate(pieces):
        more, rest = reader.receive(piece)
        content += more
        if rest is not None:
            return content, rest + b"".join(pieces[position + 1 :]), reader
    return content, None, reader


def cut(data: bytes, random_: random.Random) -> list[bytes]:
    """Cut into pieces at random places."""
    places = sorted(random_.randrange(len(data) + 1) for _ in range(random_.randrange(1, 8)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


class EndTests(SynchronousTestCase):
    def test_message(self) -> None:
        content, rest, reader = read(b"Subject: a\r\n\r\nb\r\n.\r\nQUIT\r\n")
        self.assertEqual(content, b"Subject: a\r\n\r\nb\r\n")
        self.assertEqual(rest, b"QUIT\r\n")
        self.assertEqual(reader.size, len(content))
        self.assertIsNone(reader.problem)

    def test_empty_message(self) -> None:
        """The CRLF of the DATA line is the first of the end (RFC 5321 4.1.1.4)."""
        content, rest, reader = read(b".\r\nRSET\r\n")
        self.assertEqual((content, rest, reader.size), (b"", b"RSET\r\n", 0))

    def test_dots_are_unstuffed(self) -> None:
        """RFC 5321 4.5.2: one dot at the start of a line goes."""
        content, rest, _ = read(b"..\r\n.a\r\nb.\r\n...\r\n.c.\r\n.\r\n")
        self.assertEqual(content, b".\r\na\r\nb.\r\n..\r\nc.\r\n")
        self.assertEqual(rest, b"")

    def test_beginnings_of_the_end_are_content(self) -> None:
        for sent, content in (
            (b"x\r\ny\r\n", b"x\r\ny\r\n"),
            (b"x\r\n.y\r\n", b"x\r\ny\r\n"),
            (b"x\r\n..\r\n", b"x\r\n.\r\n"),
            (b"x.\r\n", b"x.\r\n"),
            (b"x\r\n\r\n", b"x\r\n\r\n"),
        ):
            self.assertEqual(read(sent + b".\r\n")[:2], (content, b""))

    def test_nothing_behind_the_end_is_touched(self) -> None:
        _, rest, reader = read(b"a\r\n.\r\nb\n\0\r.\n.\n")
        self.assertEqual(rest, b"b\n\0\r.\n.\n")
        self.assertIsNone(reader.problem)

    def test_byte_by_byte(self) -> None:
        data = b"..a\r\n\r\n.b\r\n.c.\r\n.\r\nQUIT"
        self.assertEqual(read(*(data[n : n + 1] for n in range(len(data))))[:2], read(data)[:2])

    def test_holds_little(self) -> None:
        reader = DataReader(10_000_000, 1000)
        for piece in (b"a" * 500 + b"\r\n.\r", b"\nb"[1:] * 100, b"\r", b"\n.", b"x", b"\n", b"a" * 1_000_000):
            reader.receive(piece)
            self.assertLessEqual(reader.held, 4)


class BareLineEndTests(SynchronousTestCase):
    """SMTP smuggling: only CRLF ends a line, and only CRLF.CRLF a message (RFC 5321 2.3.8, 4.1.1.4)."""

    def test_every_other_end_is_refused(self) -> None:
        ends = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n")
        for end in (*ends, b"\n\r.\r\n", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\r\n\n.\r\n"):
            content, rest, reader = read(b"body" + end + b"MAIL FROM:<smuggled@example.org>\r\n.\r\n")
            self.assertIs(reader.problem, BARE_LINE_END, end)
            self.assertTrue(content.startswith(b"body"), end)
            self.assertNotIn(b"smuggled", content, end)
            # The client is answered at once, not after a time limit.
            self.assertIsNotNone(rest, end)

    def test_bare_line_ends_within(self) -> None:
        for line in (b"a\nb\r\n", b"a\rb\r\n", b"a\r\r\n", b"a\n\r\n", b"\n", b"\r\r"):
            for before in (b"", b"first\r\n", b"..dotted\r\n"):
                content, rest, reader = read(before + line + b"more\r\n.\r\nrest")
                self.assertIs(reader.problem, BARE_LINE_END)
                self.assertIn(rest, (b"rest", b"\nrest"))
                self.assertEqual(reader.size, len(content))

    def test_content_stops_at_the_bare_line_end(self) -> None:
        self.assertEqual(read(b"..a\r\nb\nc\r\n.\r\n")[0], b".a\r\nb")

    def test_counts_over_other_problems(self) -> None:
        _, _, reader = read(b"a\0b\r\nc\nd\r\n.\r\n")
        self.assertIs(reader.problem, BARE_LINE_END)

    def test_cr_before_the_next_piece(self) -> None:
        self.assertIsNone(read(b"a\r", b"\nb\r\n.\r\n")[2].problem)
        self.assertIs(read(b"a\r", b"b\r\n.\r\n")[2].problem, BARE_LINE_END)

    def test_lf_starts_a_piece(self) -> None:
        self.assertIs(read(b"a", b"\nb\r\n.\r\n")[2].problem, BARE_LINE_END)


class ProblemTests(SynchronousTestCase):
    def test_too_large_is_read_to_its_true_end(self) -> None:
        content, rest, reader = read(b"a" * 60 + b"\r\n" + b"RSET\r\n" * 20 + b".\r\nNOOP\r\n", size_limit=100)
        assert reader.problem is not None
        self.assertEqual((reader.problem.code, reader.problem.status), (552, "5.3.4"))
        self.assertEqual(len(content), 100)
        self.assertEqual(reader.size, 182)
        self.assertEqual(rest, b"NOOP\r\n")

    def test_at_the_limit(self) -> None:
        self.assertIsNone(read(b"a" * 98 + b"\r\n.\r\n", size_limit=100)[2].problem)
        self.assertIsNotNone(read(b"a" * 99 + b"\r\n.\r\n", size_limit=100)[2].problem)

    def test_limit_counts_without_stuffing(self) -> None:
        self.assertIsNone(read(b"..\r\n" * 33 + b".\r\n", size_limit=99)[2].problem)

    def test_nul(self) -> None:
        content, rest, reader = read(b"a\0b\r\n.\r\n")
        self.assertEqual((content, rest, reader.size), (b"a", b"", 5))
        self.assertIs(reader.problem, NUL_OCTET)

    def test_long_line(self) -> None:
        self.assertIsNone(read(b"a" * 98 + b"\r\n.\r\n", line_limit=100)[2].problem)
        for pieces in ((b"x\r\n" + b"a" * 99 + b"\r\n.\r\n",), (b"x\r\n", b"a" * 60, b"a" * 39, b"\r", b"\n.\r\n")):
            content, rest, reader = read(*pieces, line_limit=100)
            assert reader.problem is not None
            self.assertEqual((reader.problem.code, reader.problem.status), (554, "5.6.0"))
            self.assertEqual((content, rest), (b"x\r\n" + b"a" * 99 + b"\r", b""))

    def test_many_lines_are_no_long_line(self) -> None:
        self.assertIsNone(read((b"a" * 97 + b"\r\n") * 60 + b".\r\n", line_limit=100)[2].problem)

    def test_line_without_end(self) -> None:
        """10 MB without a line end are dropped, not held."""
        reader = DataReader(100_000_000, 1000)
        given = 0
        for _ in range(160):
            content, rest = reader.receive(b"a" * 65536)
            given += len(content)
            self.assertIsNone(rest)
            self.assertLessEqual(reader.held, 4)
        self.assertEqual(given, 1000)
        self.assertEqual(reader.receive(b"\r\n.\r\nQUIT")[1], b"QUIT")
        self.assertIsNotNone(reader.problem)


class ChunkingTests(SynchronousTestCase):
    def test_any_cut_gives_the_same(self) -> None:
        """Random texts out of what matters, cut at random, against the whole in one piece."""
        random_ = random.Random(5321)
        words = [b"\r\n", b"\r\n", b"\r\n", b"\r\n.", b".", b"..", b"a", b"bcd" * 9, b"x" * 30]
        odd = [b"\n", b"\r", b"\0", b"\n.\n", b"\r.\r", b"y" * 60]
        for number in range(3000):
            pool = words + odd if number % 2 else words
            data = b"".join(random_.choices(pool, k=random_.randrange(1, 25))) + b"\r\n.\r\nQUIT\r\n"
            content, rest, reader = read(data, size_limit=300, line_limit=50)
            pieces = cut(data, random_)
            content2, rest2, reader2 = read(*pieces, size_limit=300, line_limit=50)
            self.assertEqual((content, reader.size, reader.problem), (content2, reader2.size, reader2.problem), pieces)
            if reader.problem is not BARE_LINE_END:  # then the session closes, and the rest is dropped
                self.assertEqual(rest, rest2, pieces)
