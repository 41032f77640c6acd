"""8-bit MIME made 7-bit: what readers see stays, and what may not be touched is not."""

from __future__ import annotations

from email import message_from_bytes
from email.message import Message as Parsed
from email.policy import compat32

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.sevenbit import MAX_DEPTH, NotConvertible, to_seven_bit

TEXT = "Grüße, größer\r\n.\r\nFrom here \r\n\r\nx=y\t\r\n".encode()
HEAD = b"From: a@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
_PIECES = (
    *(b"--b", b"--", b"b", b"\r\n", b"\r", b"\n", b"\xff", b":", b" ", b"x"),
    *(b"Content-Type: multipart/mixed; boundary=b", b"Content-Transfer-Encoding: 8bit"),
)


def leaves(data: bytes) -> list[tuple[str, bytes]]:
    """What a reader sees of each part: its type and its content, decoded."""
    parts: list[Parsed] = [part for part in message_from_bytes(data, policy=compat32).walk() if not part.is_multipart()]
    return [(part.get_content_type(), _payload(part)) for part in parts]


def _payload(part: Parsed) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


class SevenBitTests(SynchronousTestCase):
    def converted(self, data: bytes) -> bytes:
        found = to_seven_bit(data)
        self.assertTrue(found.isascii())
        self.assertLess(max(len(line) for line in found.split(b"\r\n")), 80)
        self.assertEqual(leaves(found), leaves(data))
        return found

    def test_what_is_seven_bit_stays_as_it_is(self) -> None:
        for data in (b"", b"\r\n", HEAD + b"\r\nx" + b"y" * 2000 + b"\r\n", b"no header"):
            self.assertEqual(to_seven_bit(data), data)

    def test_text(self) -> None:
        head = HEAD + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n"
        found = self.converted(head + b"\r\n" + TEXT)
        self.assertTrue(found.startswith(head.replace(b"Content-Transfer-Encoding: 8bit\r\n", b"")))
        self.assertIn(b"\r\nX: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe, ", found)

    def test_a_field_whose_end_looks_like_another(self) -> None:
        head = HEAD + b"X-Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 8bit\r\n"
        found = self.converted(head + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + TEXT)
        self.assertIn(b"\r\nX-Content-Transfer-Encoding: 8bit\r\nContent-Type: text/plain", found)

    def test_text_without_mime_fields(self) -> None:
        """RFC 1428 3."""
        found = to_seven_bit(b"Subject: x\r\n\r\n" + TEXT)
        self.assertTrue(found.startswith(b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unk"))
        self.assertEqual(leaves(found), [("text/plain", TEXT)])

    def test_lines_that_are_too_long_for_mail(self) -> None:
        self.converted(HEAD + b"Content-Type: text/html\r\n\r\n" + "ü".encode() * 3000 + b"\r\n")
        self.converted(HEAD + b"Content-Type: text/html\r\n\r\n" + "ü".encode() * 3000)  # without a line end

    def test_parts(self) -> None:
        seven = b"Content-Type: text/plain\r\n\r\nplain  \r\n"
        eight = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + TEXT
        binary = b"Content-Type: image/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\x00=\r\n\r\n"
        bare = b"\r\n" + TEXT
        parts = b"".join(b"--b\r\n" + part + b"\r\n" for part in (seven, eight, binary, bare))
        head = HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        data = head + "für alte\r\n".encode() + parts + b"--b-- \r\n" + "Ende ü\r\n".encode()
        found = self.converted(data)
        self.assertIn(b"\r\n\r\nf??r alte\r\n--b\r\n" + seven + b"\r\n--b\r\n", found)
        self.assertTrue(found.endswith(b"--b-- \r\nEnde ??\r\n"))
        self.assertNotIn(b"8bit", found.replace(b"unknown-8bit", b""))

    def test_parts_within_parts_and_messages(self) -> None:
        inner = b"Content-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\n" + TEXT + b"\r\n--bb--\r\n"
        message = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: y\r\n\r\n" + TEXT
        data = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + inner + b"\r\n--b\r\n" + message
        found = self.converted(data + b"\r\n--b--\r\n")
        self.assertIn(b"Subject: y\r\nMIME-Version: 1.0\r\n", found)
        self.assertIn(b"Content-Type: message/rfc822\r\n\r\n", found)  # RFC 2046 5.2.1: it has no encoding of its own

    def test_a_digest_holds_messages(self) -> None:
        data = HEAD + b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: y\r\n\r\n" + TEXT
        found = to_seven_bit(data + b"\r\n--b--\r\n")
        self.assertIn(b"--b\r\n\r\nSubject: y\r\nMIME-Version: 1.0\r\n", found)

    def test_a_last_delimiter_that_is_missing(self) -> None:
        self.converted(HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + TEXT)

    def test_a_delimiter_is_a_whole_line(self) -> None:
        data = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--bx\r\nx--b\r\n" + TEXT
        self.assertIn(b"\r\n\r\n--bx\r\nx--b\r\nGr=C3", self.converted(data + b"\r\n--b--\r\n"))

    def test_what_cannot_be_converted(self) -> None:
        nested = b""
        for number in range(MAX_DEPTH + 2):
            nested += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (number, number)
        for data, words in (
            (b"Subject: \xc3\xbc\r\n\r\nx\r\n", "its header is not ASCII"),
            (b"Subject: x\r\n\xff", "its header is not ASCII"),
            (b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xff\r\n", "multipart/signed"),
            (b"Content-Type: message/partial\r\n\r\n\xff\r\n", "message/partial"),
            (b"Content-Type: multipart/mixed\r\n\r\n\xff\r\n", "names no boundary"),
            (b"Content-Transfer-Encoding: BASE64\r\n\r\n\xff\r\n", "though it says base64"),
            (b"Content-Type: multipart/x; boundary=b\r\n\r\n" + b"--b\r\n\r\n\xff\r\n" * 1000, "more than 1000 parts"),
            (nested + b"\r\n\xff\r\n", "more than 50 levels"),
        ):
            self.assertIn(words, str(self.assertRaises(NotConvertible, to_seven_bit, data)))

    @given(st.binary(max_size=300))
    def test_any_text_comes_back(self, body: bytes) -> None:
        data = HEAD + b"Content-Type: text/plain; charset=x\r\n\r\n" + body
        found = to_seven_bit(data)
        self.assertTrue(found.isascii())
        self.assertEqual(leaves(found)[0][1], body)

    @given(st.lists(st.sampled_from(_PIECES), max_size=40))
    def test_hostile_bytes_are_converted_or_refused(self, pieces: list[bytes]) -> None:
        try:
            self.assertTrue(to_seven_bit(b"".join(pieces)).isascii())
        except NotConvertible:
            pass
