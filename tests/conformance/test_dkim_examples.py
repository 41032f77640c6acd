"""Signed messages of others with their keys; the first is the example of RFC 8463."""

from __future__ import annotations

import os
import re
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import Message
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.dkim import Dkim, DkimResult
from tests.fakes import FakeResolver

SUITES = Path(os.environ.get("MAILGW_SUITES", Path(__file__).parents[2] / ".." / "shared" / "suites"))
FOLDER = SUITES / "dkim"


def load(path: Path) -> tuple[FakeResolver, bytes]:
    """Take an example apart: key records at the top, an empty line, the message."""
    records, _, message = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    resolver = FakeResolver()
    for line in records.decode().splitlines():
        name, _, record = line.partition(" ")
        resolver.set(name, {"TXT": [record]})
    return resolver, message.replace(b"\n", b"\r\n")


class DkimExampleTests(SynchronousTestCase):
    if not FOLDER.is_dir():
        skip = f"the DKIM examples are not there: {FOLDER}"

    def verify(self, resolver: FakeResolver, content: bytes) -> tuple[DkimResult, ...]:
        # The day that the first signature was made: some of them have expired since.
        signed = re.search(rb"\bt=(\d+)", content)
        now = float(signed.group(1)) if signed else 1667400000.0
        verifier = Dkim(resolver, ThreadsInline(), lambda: now)
        return self.successResultOf(Deferred.fromCoroutine(verifier.verify(Message.from_bytes(content))))

    def test_examples(self) -> None:
        files = sorted(FOLDER.glob("00*.txt"))
        signatures = 0
        wrong = []
        for path in files:
            resolver, content = load(path)
            results = self.verify(resolver, content)
            signatures += len(results)
            wrong += [f"{path.name}: {result}" for result in results if result.result != "pass"]
            if not results:
                wrong.append(f"{path.name}: no signature was found")
        print(f"\n    DKIM: {signatures - len(wrong)} of {signatures} signatures in {len(files)} examples verify")
        self.assertEqual("\n".join(wrong), "")

    def test_a_changed_body_fails(self) -> None:
        for path in sorted(FOLDER.glob("00*.txt")):
            resolver, content = load(path)
            for result in self.verify(resolver, content.rstrip() + b" more\r\n"):
                self.assertEqual((result.result, result.domain != ""), ("fail", True), path.name)

    def test_a_changed_subject_fails(self) -> None:
        for path in sorted(FOLDER.glob("00*.txt")):
            resolver, content = load(path)
            changed = re.sub(rb"(?m)^Subject:", b"Subject: Re:", content, count=1)
            results = self.verify(resolver, changed)
            self.assertIn("fail", {result.result for result in results}, path.name)
