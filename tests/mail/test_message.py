"""Message: the header index and the output."""

from __future__ import annotations

import os

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import MAX_HEADER, FileContent, Message, head_of

MESSAGE = b"From: a@example.org\r\nSubject: one\r\n two\r\nX-Empty:\r\nSubject: again\r\n\r\nbody: no\r\n"


class HeaderTests(SynchronousTestCase):
    def test_fields_in_order_with_their_exact_bytes(self) -> None:
        message = Message.from_bytes(MESSAGE)
        self.assertEqual([field.name for field in message.fields], ["From", "Subject", "X-Empty", "Subject"])
        self.assertEqual(message.fields[1].raw, b"Subject: one\r\n two\r\n")
        self.assertEqual(message.fields[1].value, b"one two")
        self.assertEqual(b"".join(field.raw for field in message.fields) + b"\r\n", message.head)
        self.assertFalse(message.malformed_header)

    def test_get_is_the_first_of_a_name_in_any_case(self) -> None:
        message = Message.from_bytes(MESSAGE)
        found = message.get("SUBJECT")
        assert found is not None
        self.assertEqual(found.value, b"one two")
        self.assertEqual(len(message.get_all("subject")), 2)
        self.assertIsNone(message.get("body"))

    def test_a_line_that_is_no_field_is_passed_over_and_noted(self) -> None:
        message = Message.from_bytes(b"From: a@b\r\nnonsense\r\nTo: c@d\r\n\r\n")
        self.assertEqual([field.name for field in message.fields], ["From", "To"])
        self.assertTrue(message.malformed_header)

    def test_messages_without_body_or_header(self) -> None:
        self.assertEqual(Message.from_bytes(b"\r\nbody\r\n").fields, ())
        self.assertEqual(Message.from_bytes(b"").fields, ())
        self.assertFalse(Message.from_bytes(b"A: b\r\n").malformed_header)

    def test_text_is_utf_8_or_latin_1_and_never_raises(self) -> None:
        message = Message.from_bytes("A: grün\r\n".encode() + b"B: gr\xfcn\r\n\r\n")
        self.assertEqual([field.text for field in message.fields], ["grün", "grün"])

    def test_the_head_is_bounded(self) -> None:
        self.assertEqual(len(head_of(b"A: " + b"x" * (2 * MAX_HEADER))), MAX_HEADER)

    @given(st.binary(max_size=300))
    def test_any_bytes_can_be_indexed(self, data: bytes) -> None:
        message = Message.from_bytes(data)
        self.assertLessEqual(sum(len(field.raw) for field in message.fields), len(message.head))

    def test_a_header_made_to_be_slow_is_indexed_in_linear_time(self) -> None:
        hostile = b"A: " + b"\r" * 100_000 + b"x\r\n" + b"B" * 100_000 + b"\r\n\r\n"
        self.assertEqual(len(Message.from_bytes(hostile).fields), 1)


class OutputTests(SynchronousTestCase):
    def test_prefix_then_content(self) -> None:
        message = evolve(Message.from_bytes(MESSAGE), prefix=b"Received: here\r\n")
        self.assertEqual(b"".join(message.output()), b"Received: here\r\n" + MESSAGE)

    def test_cuts_are_left_out_from_memory_and_from_a_file(self) -> None:
        start = MESSAGE.index(b"X-Empty")
        cuts = ((0, 21), (start, start + 10))
        expected = b"P: q\r\n" + MESSAGE[21:start] + MESSAGE[start + 10 :]
        message = evolve(Message.from_bytes(MESSAGE), prefix=b"P: q\r\n", cuts=cuts)
        self.assertEqual(b"".join(message.output()), expected)
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(MESSAGE)
        on_disk = evolve(message, content=FileContent(os.path.abspath(path), len(MESSAGE)))
        self.assertEqual(b"".join(on_disk.output(chunk_size=7)), expected)
