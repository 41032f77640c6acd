"""The filters take any message: mutations of ../shared/suites/mime, each judged by all filters and the policy.

`MAILGW_FUZZ_EXAMPLES=20000` for as many mutations. A failure names the number of its mutation, which makes it again.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Domain, FilterFile, Settings
from mailgw.filters import catalogue
from mailgw.filters.runner import SYMBOLS, FilterRunner
from mailgw.filters.waiting import Finished, start
from mailgw.operation.threads import ThreadsInline
from mailgw.verdict.policy import Policy, decide
from tests.fakes import FakeResolver
from tests.filters.files import FILES
from tests.filters.support import NOW, make_transaction

ROOT = Path(__file__).parents[2]
SUITES = Path(os.environ.get("MAILGW_SUITES", ROOT / ".." / "shared" / "suites"))
FOLDER = SUITES / "mime"
EXAMPLES = int(os.environ.get("MAILGW_FUZZ_EXAMPLES", "2000"))
LONGEST = 0.5
"""Seconds of processor that no message may take in one turn."""

PIECES = (
    b"\r\n", b"\r\n\r\n", b"--", b"--b\r\n", b"\r\n--b--\r\n", b"\0", b"\xff", b"\xe2\x80\xae", b"\xe2\x80\x8b",
    b"=", b"=3D", b"?=", b"=?utf-8?B?", b"=?utf-8?Q?=00?=", b'"', b"\\", b"(", b"<", b">", b"@", b"<a href=",
    b"<!--", b"<script>", b"<a href='http://%65.0x7f.1@xn--a/'>", b"<div style='display:none'>", b"&#x1f;", b"&",
    b"http://a.b/", b"www.", b"mailto:", b"MZ", b"PK\x03\x04", b"PK\x05\x06", b"%PDF-",
    b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: message/rfc822\r\n",
    b"Content-Transfer-Encoding: base64\r\n", b"From: ", b"Subject: ",
    b"Content-Type: text/html; charset=utf-7\r\n", b"; filename*0*=utf-8''%e2%80%ae", b"Reply-To: x@gmail.com\r\n",
    b"Content-Disposition: attachment; filename=\"a.pdf.exe\"\r\n",
)  # fmt: skip


def mutate(messages: list[bytes], number: int) -> bytes:
    """Make the mutation of this number."""
    source = random.Random(number)
    data = bytearray(source.choice(messages))
    for _ in range(source.randrange(1, 12)):
        at = source.randrange(len(data) + 1)
        kind = source.randrange(7)
        if kind == 0 and at < len(data):
            data[at] = source.randrange(256)
        elif kind == 1:
            del data[at : at + source.randrange(1, 200)]
        elif kind == 2:
            data[at:at] = data[at : at + source.randrange(1, 200)] * source.randrange(1, 20)
        elif kind == 3:
            data[at:at] = source.choice(PIECES) * source.randrange(1, 5)
        elif kind == 4:
            other = source.choice(messages)
            begin = source.randrange(len(other) + 1)
            data[at:at] = other[begin : begin + source.randrange(1, 2000)]
        elif kind == 5:
            data[at:at] = source.randbytes(source.randrange(1, 100))
        else:
            head = b"\r\nContent-Disposition: attachment; filename=x\r\n\r\n"
            data[at:at] = head + bytes(FILES["zip"]("a.exe"))[: source.randrange(1, 120)]
    return bytes(data)


class FilterFuzzTests(SynchronousTestCase):
    if not FOLDER.is_dir():
        skip = f"the messages are not there: {FOLDER}"

    def setUp(self) -> None:
        clock = Clock()
        clock.advance(NOW)
        found = catalogue.read(FilterFile(), "filters.toml", str(ROOT / "etc" / "rules.toml"))
        settings = Settings(domains={"example.org": Domain()})
        self.runner = FilterRunner(found.make(settings, clock, ThreadsInline(), FakeResolver()), clock)
        self.policy = Policy(found.weights, combinations=found.combinations)
        self.messages = [
            path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in sorted(FOLDER.glob("*/*.eml"))
        ]

    def judge(self, data: bytes, name: object) -> float:
        """Judge a message; give the seconds of processor that it took."""
        transaction = make_transaction(data)
        before = time.process_time()
        outcome = start(self.runner.run(transaction))
        verdict = decide(transaction.evidence, self.policy, outbound=False)
        took = time.process_time() - before
        self.assertIsInstance(outcome, Finished, name)
        failed = [(e.symbol, e.detail) for e in transaction.evidence if e.symbol in SYMBOLS]
        self.assertEqual(failed, [], name)
        self.assertIn(verdict.action, ("inbox", "greylist", "spam", "reject"), name)
        return took

    def test_the_messages_themselves(self) -> None:
        self.assertGreaterEqual(len(self.messages), 60)
        for number, data in enumerate(self.messages):
            self.assertLess(self.judge(data, number), LONGEST)

    def test_mutations(self) -> None:
        for number in range(EXAMPLES):
            self.assertLess(self.judge(mutate(self.messages, number), f"mutation {number}"), LONGEST, number)
