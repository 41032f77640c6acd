"""What came and is not yet read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.smtp.buffer import ReceiveBuffer


class ReceiveBufferTests(SynchronousTestCase):
    def test_lines_and_rest(self) -> None:
        buffer = ReceiveBuffer()
        for piece in (b"a\r\nb", b"c\n", b"\nrest"):
            buffer.append(piece)
        self.assertEqual([buffer.next_line(10) for _ in range(4)], [b"a\r\n", b"bc\n", b"\n", None])
        self.assertEqual(len(buffer), 4)
        self.assertEqual(buffer.take(), b"rest")
        self.assertEqual((len(buffer), buffer.take(), buffer.next_line(10)), (0, b"", None))

    def test_put_back(self) -> None:
        buffer = ReceiveBuffer()
        buffer.put_back(b"a\nb")
        buffer.append(b"c\n")
        self.assertEqual([buffer.next_line(10) for _ in range(3)], [b"a\n", b"bc\n", None])

    def test_overlong_line_is_dropped_as_it_comes(self) -> None:
        buffer = ReceiveBuffer()
        for _ in range(100):
            buffer.append(b"a" * 1000)
            self.assertIsNone(buffer.next_line(10))
            self.assertEqual(len(buffer), 0)
        buffer.append(b"\nb\n")
        self.assertEqual([buffer.next_line(10) for _ in range(3)], [b"", b"b\n", None])

    def test_limit_counts_the_line_end(self) -> None:
        for size, line in ((8, b"a" * 8 + b"\r\n"), (9, b"")):
            buffer = ReceiveBuffer()
            buffer.append(b"a" * size + b"\r\n")
            self.assertEqual(buffer.next_line(10), line)

    def test_auth_lines_may_be_longer(self) -> None:
        for verb in (b"AUTH ", b"auth "):
            buffer = ReceiveBuffer()
            buffer.append(verb + b"a" * 13 + b"\r\n" + verb + b"a" * 14 + b"\r\n")
            self.assertEqual([buffer.next_line(10, 20) for _ in range(2)], [verb + b"a" * 13 + b"\r\n", b""])

    def test_clear(self) -> None:
        buffer = ReceiveBuffer()
        buffer.append(b"a" * 20)
        buffer.next_line(10)
        buffer.append(b"x")
        buffer.clear()
        buffer.append(b"b\n")
        self.assertEqual(buffer.next_line(10), b"b\n")

    def test_take_a_part(self) -> None:
        buffer = ReceiveBuffer()
        buffer.append(b"BDAT 3\r\nab")
        buffer.append(b"cNOOP\r\n")
        self.assertEqual(buffer.next_line(100), b"BDAT 3\r\n")
        self.assertEqual(buffer.take(3), b"abc")
        self.assertEqual((buffer.take(0), len(buffer)), (b"", 6))
        self.assertEqual(buffer.next_line(100), b"NOOP\r\n")
        self.assertEqual((buffer.take(5), len(buffer)), (b"", 0))
