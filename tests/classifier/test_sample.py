"""What is read of a message: bounded, and the same for the message that is judged and for its copy in a folder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier import features
from mailgw.classifier.sample import FIELDS_SIZE, ROUTE_SIZE, TEXT_SIZE, URLS_SIZE
from mailgw.filters.anatomy import dissect
from mailgw.filters.sampling import read_sample, sample_of
from mailgw.mail.message import Message

CAME = (
    b"Received: from a.example by b.example with ESMTP; Mon, 2 Nov 2026 10:00:00 +0000\r\n"
    b"X-Spam-Status: No, score=-1\r\nAuthentication-Results: b.example; spf=pass\r\n"
    b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.net>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n"
    b"List-Id: <list.example.net>\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b"<p>At <a href='https://www.example.net/menu'>noon</a></p>\r\n"
)
OURS = (
    b"Return-Path: <joerg@example.net>\r\nDelivered-To: bob@example.org\r\n"
    b"Received: from b.example ([192.0.2.1])\r\n by mail.example.org (mailgw) with ESMTPS id 1M84V9C6R7HPKQW2;\r\n"
    b" Mon, 2 Nov 2026 10:00:05 +0000\r\nAuthentication-Results: mail.example.org; spf=pass\r\n"
    b"X-Spam-Flag: YES\r\nX-Spam-Score: 7.00\r\nX-Spam-Symbols: A=7.00\r\n"
)


class SampleTests(SynchronousTestCase):
    def test_the_copy_in_the_folder_gives_the_same_sample_as_the_message_that_was_judged(self) -> None:
        message = Message.from_bytes(CAME)
        judged = sample_of(message, dissect(message.content))
        for copy in (
            OURS + CAME,
            (OURS + CAME).replace(b"\r\n", b"\n"),
            b"From joerg@example.net  Mon Nov  2 10:00:00 2026\n" + CAME.replace(b"\r\n", b"\n"),
        ):
            self.assertEqual(read_sample(copy), judged)
            self.assertEqual(read_sample(copy).key, judged.key)

    def test_opinions_of_filters_are_not_read(self) -> None:
        sample = read_sample(OURS + CAME)
        everything = b"".join((sample.route, sample.fields, sample.text, sample.urls))
        for word in (b"X-Spam", b"spf=pass", b"Return-Path", b"Delivered-To", b"mailgw"):
            self.assertNotIn(word, everything)
        self.assertIn(b"Received: from a.example", sample.route)
        self.assertNotIn(b"Received", sample.fields)

    def test_header_fields_and_text_are_decoded(self) -> None:
        sample = read_sample(CAME)
        self.assertIn("From: Jörg <joerg@example.net>\nSubject: Grüße\nList-Id:".encode(), sample.fields)
        self.assertEqual(sample.subject, "Grüße".encode())
        self.assertEqual(sample.text, b"At noon")
        self.assertIn(b"https://www.example.net/menu", sample.urls)

    def test_another_text_is_another_message(self) -> None:
        self.assertNotEqual(read_sample(CAME).key, read_sample(CAME.replace(b"noon", b"nine")).key)

    def test_a_header_without_the_empty_line_behind_it_ends_where_it_ends(self) -> None:
        sample = read_sample(b"Subject: gas for november\njackie ,\nplease advise\n")
        self.assertEqual(sample.subject, b"gas for november")
        self.assertEqual(sample.text, b"jackie , please advise")

    def test_hostile_messages_stay_within_bounds(self) -> None:
        large = b"word " * 10_000_000
        for data in (
            b"",
            b"\n",
            b"\r\n\r\n",
            b"no header at all",
            bytes(range(256)) * 1000,
            b"\0" * 100_000,
            b"Subject: " + b"x" * 300_000,
            b"Subject: x\n" * 20_000 + b"\nbody",
            b"Subject: x\n\n" + large,
            b"Subject: x\n" + b"y" * 20_000_000,
            b"Content-Type: text/html\n\n" + b"<a href=https://example.com/" * 100_000,
        ):
            sample = read_sample(data)
            self.assertLessEqual(len(sample.route), ROUTE_SIZE)
            self.assertLessEqual(len(sample.fields), FIELDS_SIZE)
            self.assertLessEqual(len(sample.text), TEXT_SIZE)
            self.assertLessEqual(len(sample.urls), URLS_SIZE)
            for slots in features.all_slots(sample):
                self.assertEqual(len(set(slots.tolist())), len(slots))

    @given(st.binary(max_size=300))
    def test_no_octets_raise(self, data: bytes) -> None:
        features.all_slots(read_sample(data))
