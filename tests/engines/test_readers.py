"""What clamd, spamd and Rspamd answer: read in any pieces, and never raising anything but what says so."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mailgw.engines.clamd import Scan, ScanReader
from mailgw.engines.errors import Broken, Declined
from mailgw.engines.foreign import Judgement
from mailgw.engines.rspamd import Exchange
from mailgw.engines.spamc import ReportReader, received, request
from tests.engines.support import facts, splits

REPORT = (
    b"SPAMD/1.1 0 EX_OK\r\nContent-length: 322\r\nSpam: True ; 1006.3 / 5.0\r\n\r\n"
    b"Spam detection software has identified this as spam.\n\nContent analysis:   (1006.3 points, 5.0 required)\n"
    b"\n pts rule name              description\n---- ---------------------- ----\n"
    b" 1000 GTUBE                 BODY: Generic Test\n 3.7 DATE_IN_PAST           Date\n"
    b"-0.1 DKIM_VALID             Good\n* 2.7 RDNS_NONE  starred\n"
)
REPORT = REPORT.replace(b"322", str(len(REPORT.partition(b"\r\n\r\n")[2])).encode())
ANSWER = {
    "is_skipped": False,
    "score": 7.5,
    "required_score": 15.0,
    "action": "add header",
    "symbols": {"A": {"score": 1.5}, "B": {"score": 6.0}, "C": {"score": 0.0}},
    "messages": {"smtp_message": "Later\r\n"},
}


def response(body: bytes, status: str = "200 OK", length: bool = True) -> bytes:
    size = f"Content-Length: {len(body)}\r\n" if length else ""
    return f"HTTP/1.1 {status}\r\n{size}Content-Type: application/json\r\n\r\n".encode() + body


def exchange() -> Exchange:
    made = Exchange()
    made.request(facts(), 10)
    return made


def feed(reader: Any, data: bytes, entropy: random.Random | None = None) -> bool:
    """Feed it in one piece or in many; then the end. Give whether it was complete before the end."""
    for piece in splits(data, entropy) if entropy else (data,):
        if reader.feed(piece):
            return True
    return bool(reader.feed(b""))


class ClamdTests(SynchronousTestCase):
    def read(self, data: bytes) -> Scan:
        reader = ScanReader()
        self.assertTrue(feed(reader, data, random.Random(1)))
        return reader.scan

    def test_replies(self) -> None:
        self.assertEqual(self.read(b"stream: OK\0"), Scan())
        self.assertEqual(self.read(b"stream: Eicar-Test-Signature FOUND\0"), Scan("Eicar-Test-Signature"))
        self.assertEqual(self.read(b"stream: Win.Test-1(abc:68) FOUND\0"), Scan("Win.Test-1(abc:68)"))
        self.assertEqual(self.read(b"INSTREAM size limit exceeded. ERROR\0"), Scan(too_large=True))

    def test_an_error_is_no_failure_of_the_engine(self) -> None:
        error = self.assertRaises(Declined, feed, ScanReader(), b"stream: Can't allocate memory ERROR\0")
        self.assertIn("allocate memory", error.cause)

    def test_garbage_and_half_replies(self) -> None:
        for data in (b"HTTP/1.1 400\0", b"\0", b"stream: OK", b"x" * 5000, b"stream:  FOUND\0"):
            self.assertRaises(Broken, feed, ScanReader(), data)

    def test_a_signature_is_one_line(self) -> None:
        self.assertEqual(self.read(b"stream: A\x1b[2J FOUND\0").signature, "A?[2J")


class SpamdTests(SynchronousTestCase):
    def test_the_request(self) -> None:
        self.assertEqual(request(12, "ann"), b"REPORT SPAMC/1.5\r\nUser: ann\r\nContent-length: 12\r\n\r\n")
        self.assertEqual(request(12), b"REPORT SPAMC/1.5\r\nContent-length: 12\r\n\r\n")

    def test_what_stands_for_us(self) -> None:
        fields = received(facts(helo="a\r\nX: y", identity="ann@example.org", tls="TLSv1.3 X", esmtp=True), "DATE")
        self.assertEqual(
            fields,
            b"Return-Path: <ann@example.net>\r\n"
            b"Received: from a??X: y (unknown [192.0.2.1]) (Authenticated sender: ann@example.org)\r\n"
            b"\tby mail.example.org (mailgw) with ESMTPSA id T1;\r\n\tDATE\r\n",
        )

    def test_a_report_in_any_pieces(self) -> None:
        for seed in range(20):
            reader = ReportReader()
            self.assertTrue(feed(reader, REPORT, random.Random(seed)))
            self.assertEqual((reader.judgement.score, reader.judgement.threshold), (1006.3, 5.0))
            self.assertEqual(
                reader.judgement.symbols,
                (("GTUBE", 1000.0), ("DATE_IN_PAST", 3.7), ("DKIM_VALID", -0.1), ("RDNS_NONE", 2.7)),
            )

    def test_a_report_of_another_template_has_its_score(self) -> None:
        reader = ReportReader()
        self.assertTrue(feed(reader, b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; -0.5 / 5.0\r\n\r\nnothing to see\n"))
        self.assertEqual(reader.judgement, Judgement(-0.5, 5.0))

    def test_errors(self) -> None:
        for data in (b"SPAMD/1.0 76 Bad header line: x\r\n", b"SPAMD/1.5 75 EX_TEMPFAIL\r\n\r\n"):
            self.assertRaises(Declined, feed, ReportReader(), data)

    def test_garbage_and_half_answers(self) -> None:
        head = b"SPAMD/1.1 0 EX_OK\r\n"
        for data in (
            b"HTTP/1.1 400 Bad\r\n\r\n",
            head,
            head + b"\r\n",
            head + b"Spam: True ; nan / 5.0\r\n\r\n",
            head + b"Spam: True ; x / 5.0\r\n\r\n",
            head + b"X: " + b"y" * 10000,
        ):
            self.assertRaises(Broken, feed, ReportReader(), data)
        self.assertFalse(feed(ReportReader(), REPORT[:-1]))  # the reader wants more: `read` says that it ended


class RspamdTests(SynchronousTestCase):
    def test_the_request(self) -> None:
        head = Exchange().request(
            facts(helo="a\r\nX: y", identity="ann", tls="TLSv1.3 TLS_AES_256_GCM_SHA384", address="2001:db8::1"), 99
        )
        lines = head.decode().split("\r\n")
        self.assertEqual(lines[0], "POST /checkv2 HTTP/1.1")
        for line in (
            "Content-Length: 99",
            "IP: 2001:db8::1",
            "Hostname: unknown",
            "Helo: a??X: y",
            "From: <ann@example.net>",
            "Rcpt: <bob@example.org>",
            "Queue-Id: T1",
            "User: ann",
            "MTA-Name: mail.example.org",
            "TLS-Version: TLSv1.3",
            "TLS-Cipher: TLS_AES_256_GCM_SHA384",
        ):
            self.assertIn(line, lines)
        self.assertEqual(lines[-2:], ["", ""])

    def test_what_is_not_known_is_not_said(self) -> None:
        head = Exchange().request(facts(reverse_path=None, helo=""), 1).decode()
        self.assertIn("From: <>\r\n", head)
        for name in ("Helo", "User", "TLS"):
            self.assertNotIn(f"{name}", head)

    def test_an_answer_in_any_pieces(self) -> None:
        body = json.dumps(ANSWER).encode()
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        for data in (response(body), response(body, length=False), chunked):
            for seed in range(10):
                reader = exchange()
                self.assertTrue(feed(reader, data, random.Random(seed)))
                found = reader.judgement
                self.assertEqual((found.score, found.threshold, found.action), (7.5, 15.0, "add header"))
                self.assertEqual(found.message, "Later??")
                self.assertEqual(found.strongest(), "B 6, A 1.5 and 1 more")
                self.assertFalse(found.skipped)

    def test_errors_of_rspamd(self) -> None:
        error = self.assertRaises(Declined, feed, exchange(), response(b'{"error":"too busy"}', "503 Busy"))
        self.assertIn('HTTP 503: "too busy"', error.cause)
        self.assertRaises(Declined, feed, exchange(), response(b"<html>", "404 Not Found"))

    def test_garbage_and_half_answers(self) -> None:
        for data in (
            b"SPAMD/1.1 0 EX_OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            response(b"{}"),
            response(b"[" * 100000),
            response(b'{"score":"a"}'),
            response(b'{"score":1e999}'),
            response(b'{"score":1,"symbols":{"A":{"score":null}}}'),
            response(b"{")[:-1],
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 50000,
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 1100000,
            b"",
        ):
            self.assertRaises(Broken, feed, exchange(), data)

    def test_a_message_that_rspamd_did_not_look_at(self) -> None:
        for action, skipped in (("no action", True), ("reject", False)):  # GTUBE is skipped, and refused
            reader = exchange()
            feed(reader, response(json.dumps({**ANSWER, "is_skipped": True, "action": action}).encode()))
            self.assertEqual(reader.judgement.skipped, skipped)


class HostileTests(SynchronousTestCase):
    def test_mutated_answers_raise_only_what_says_so(self) -> None:
        readers: tuple[tuple[Callable[[], Any], bytes], ...] = (
            (ScanReader, b"stream: Eicar FOUND\0"),
            (ReportReader, REPORT),
            (exchange, response(json.dumps(ANSWER).encode())),
        )
        entropy = random.Random(5)
        ends: set[str] = set()
        for make, good in readers:
            for _ in range(400):
                data = bytearray(good)
                for _ in range(entropy.randint(1, 4)):
                    at = entropy.randrange(len(data))
                    data[at : at + entropy.randint(0, 3)] = entropy.randbytes(entropy.randint(0, 3))
                try:
                    feed(make(), bytes(data), entropy)
                    ends.add("read")
                except (Broken, Declined) as error:
                    ends.add(type(error).__name__)
                    self.assertTrue(error.cause.isprintable(), error.cause)
        self.assertLessEqual({"read", "Broken"}, ends)
