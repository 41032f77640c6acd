"""Dates, addresses and the header filter on what is broken. Its cases stand in tests/evidence."""

from __future__ import annotations

import time
from email.utils import formatdate

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.addresses import find_addresses
from mailgw.filters.dates import parse_date
from mailgw.filters.header_sanity import HeaderSanity, HeaderSanitySettings
from mailgw.mail.evidence import Evidence
from tests.filters.support import NOW, make_transaction

NAMES = ["From", "To", "Date", "Message-ID", "Subject", "Reply-To", "Received", "From ", "", "Content-Type"]


def check(data: bytes) -> list[Evidence]:
    clock = Clock()
    clock.advance(NOW)
    result: list[list[Evidence]] = []
    filter = HeaderSanity(HeaderSanitySettings(), clock)
    Deferred.fromCoroutine(filter.check(make_transaction(data))).addCallback(result.append)
    return result[0]


class DateTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for text, seconds in (
            ("Mon, 02 Nov 2026 10:00:00 +0000", NOW),
            ("2 Nov 2026 10:00 +0000", NOW),
            ("Mon, 2 Nov 2026 10:00:00 GMT", NOW),
            ("Mon, 02 Nov 2026 05:00:00 -0500 (EST)", NOW),
            ("Mon, 02 Nov 2026 15:30:00 +0530", NOW),
            ("Mon, 02 Nov 26 05:00:00 EST", NOW),
            ("Mon,  2  Nov 2026 10:00:00 +0000", NOW),
        ):
            self.assertEqual(parse_date(text), seconds, text)

    def test_no_dates(self) -> None:
        for text in (
            "",
            "x",
            "Mon, 02 Nov 2026",
            "02 Foo 2026 10:00:00 +0000",
            "32 Nov 2026 10:00:00 +0000",
            "1" * 5000,
        ):
            self.assertIsNone(parse_date(text), text)

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, 4_000_000_000))
    def test_what_the_standard_library_writes(self, seconds: int) -> None:
        self.assertEqual(parse_date(formatdate(seconds)), seconds)

    @settings(max_examples=300, deadline=None)
    @given(st.text(st.sampled_from("0123456789 ,:+-()NovMonGMT\n"), max_size=60))
    def test_never_raises(self, text: str) -> None:
        parse_date(text)


class AddressTests(SynchronousTestCase):
    def found(self, text: str) -> list[str]:
        return [str(mailbox) for mailbox in find_addresses(text)]

    def test_forms(self) -> None:
        for text, addresses in (
            ("a@x.example", ["a@x.example"]),
            ("<a@x.example>", ["a@x.example"]),
            ("Ann Lee <a@x.example>", ["a@x.example"]),
            ('"Lee, Ann" <a@x.example>', ["a@x.example"]),
            ('"b@y.example" <a@x.example>', ["a@x.example"]),
            ("a@x.example (Ann)", ["a@x.example"]),
            ("a@x.example, Bob <b@y.example>", ["a@x.example", "b@y.example"]),
            ('"a b"@x.example', ['"a b"@x.example']),
            ("Team: a@x.example, b@y.example;", ["a@x.example", "b@y.example"]),
            ("", []),
            ("Ann", []),
            ("<>", []),
        ):
            self.assertEqual(self.found(text), addresses, text)

    @settings(max_examples=300, deadline=None)
    @given(st.text(st.sampled_from('a@x.<>"\\(),:;[] '), max_size=60))
    def test_never_raises(self, text: str) -> None:
        find_addresses(text)

    def test_what_is_long_or_deep_takes_no_time(self) -> None:
        for text in ("(" * 100_000, "a@x.example," * 20_000, '"' * 100_001, "<" * 100_000, "a" * 200_000 + "("):
            start = time.process_time()
            find_addresses(text)
            self.assertLess(time.process_time() - start, 1.0, text[:20])


class HeaderTests(SynchronousTestCase):
    def test_a_detail_is_short(self) -> None:
        for evidence in check(b"From: " + b"x" * 10_000 + b"\r\nDate: " + b"y\x1b" * 5000 + b"\r\n\r\n"):
            self.assertLess(len(evidence.detail), 120)
            self.assertTrue(evidence.detail.isprintable())

    def test_every_symbol_that_it_states_has_a_weight(self) -> None:
        for data in (b"\r\n", b"From: x\r\nFrom: y\r\nDate: z\r\nSubject :\r\nrubbish\r\nTo:\r\nX: \xff\r\n\r\n"):
            self.assertLessEqual({e.symbol for e in check(data)}, HeaderSanity.symbols.keys())

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=40)), max_size=12))
    def test_never_raises(self, fields: list[tuple[str, bytes]]) -> None:
        check(b"".join(name.encode() + b":" + value + b"\r\n" for name, value in fields) + b"\r\n")

    def test_a_header_section_of_256_kib_takes_no_time(self) -> None:
        size = 256 * 1024
        for head in (
            b"Received: x\r\n" * (size // 13),
            b"From: " + b"a@b.example," * (size // 12),
            b"From: " + b"(" * (size - 10),
            b"Message-ID: <" + b"a@" * (size // 2 - 10),
            b"no field\r\n" * (size // 10),
            b"To:\r\n" * (size // 5),
        ):
            data = head[: size - 100] + b"\r\n\r\n"
            start = time.process_time()
            check(data)
            self.assertLess(time.process_time() - start, 2.0, head[:30])
