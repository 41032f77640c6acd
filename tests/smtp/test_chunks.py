"""The message in chunks: content, line ends, bounds."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import Reply
from mailgw.smtp.chunks import BARE_IN_CHUNK, ChunkReader, RefusedChunk
from mailgw.smtp.data import NUL_OCTET
from mailgw.smtp.events import Invalid
from tests.smtp.test_data import cut


def read(*chunks: bytes | list[bytes], normalise: bool = False) -> tuple[bytes, ChunkReader]:
    """Feed chunks, each whole or in pieces, the last one as LAST; stop at a problem."""
    reader = ChunkReader(300, 50, normalise=normalise)
    content = b""
    for number, chunk in enumerate(chunks):
        pieces = [chunk] if isinstance(chunk, bytes) else chunk
        reader.begin(sum(map(len, pieces)), number == len(chunks) - 1)
        for piece in pieces or [b""]:
            content += reader.receive(piece)[0]
        if reader.problem is not None:
            break
    return content, reader


class ContentTests(SynchronousTestCase):
    def test_dots_are_nothing_special(self) -> None:
        self.assertEqual(read(b".\r\n..\r\n", b"a\r\n.\r\n")[0], b".\r\n..\r\na\r\n.\r\n")

    def test_nothing_behind_the_chunk_is_touched(self) -> None:
        reader = ChunkReader(300, 50)
        reader.begin(3, False)
        self.assertEqual(reader.receive(b"a"), (b"a", None))
        self.assertEqual(reader.receive(b"\r\nRSET\n\0"), (b"\r\n", b"RSET\n\0"))

    def test_an_unfinished_last_line_is_completed(self) -> None:
        for chunks in ((b"a",), (b"a", b""), (b"\r\na",), (b"", b"a")):
            content, reader = read(*chunks)
            self.assertTrue(content.endswith(b"a\r\n"))
            self.assertEqual(reader.size, len(content))
        self.assertEqual(read(b"")[0], b"")
        self.assertEqual(read(b"a\r\n", b"")[0], b"a\r\n")

    def test_a_line_end_in_two_chunks(self) -> None:
        content, reader = read(b"a\r", b"", b"\nb\r\n")
        self.assertEqual((content, reader.problem), (b"a\r\nb\r\n", None))

    def test_bare_line_ends(self) -> None:
        for chunks in ((b"a\nb\r\n",), (b"a\rb\r\n",), (b"a\r", b"b"), (b"a\r", b""), (b"a", b"\nb"), (b"a\r\r\n",)):
            content, reader = read(*chunks)
            self.assertIs(reader.problem, BARE_IN_CHUNK, chunks)
            self.assertEqual(content, b"a", chunks)
            content, reader = read(*chunks, normalise=True)
            self.assertIsNone(reader.problem)
            self.assertTrue(content.startswith(b"a\r\n"))
            self.assertNotIn(b"\r\r", content)

    def test_the_first_problem_counts(self) -> None:
        self.assertIs(read(b"a\0\nb")[1].problem, NUL_OCTET)
        self.assertIs(read(b"a\nb\0")[1].problem, BARE_IN_CHUNK)

    def test_limits(self) -> None:
        self.assertIsNone(read(b"a" * 48 + b"\r\n")[1].problem)
        for chunks, code in (((b"a" * 49 + b"\r\n",), 554), ((b"a" * 30, b"b" * 30), 554), ((b"a\r\n" * 101,), 552)):
            problem = read(*chunks)[1].problem
            assert problem is not None
            self.assertEqual(problem.code, code)

    def test_any_cut_gives_the_same(self) -> None:
        random_ = random.Random(3030)
        words = [b"\r\n", b"\r\n", b"a", b".", b"bcd" * 9, b"\n", b"\r", b"\0", b"y" * 40, b"z" * 60]
        for number in range(3000):
            chunks = [
                b"".join(random_.choices(words[: 5 if number % 3 else 10], k=random_.randrange(6)))
                for _ in range(random_.randrange(1, 5))
            ]
            normalise = number % 2 == 0
            content, reader = read(*chunks, normalise=normalise)
            content2, reader2 = read(*(cut(chunk, random_) for chunk in chunks), normalise=normalise)
            self.assertEqual((content, reader.size, reader.problem), (content2, reader2.size, reader2.problem), chunks)
            self.assertLessEqual(reader2.held, 1)


class RefusedTests(SynchronousTestCase):
    def test_octets_are_dropped_and_nothing_more(self) -> None:
        refusal = Invalid(Reply(503), "bad_sequence")
        chunk = RefusedChunk(5, refusal)
        self.assertEqual(chunk.receive(b"QUI"), (b"", None))
        self.assertEqual(chunk.receive(b"T\rNOOP\r\n"), (b"", b"NOOP\r\n"))
        self.assertIs(chunk.end(), refusal)
