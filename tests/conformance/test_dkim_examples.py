"""Signed messages of others with their keys; the first is the example of RFC 8463."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import Message
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.dkim import Dkim, DkimResult
from tests.conformance.suites import SUITES, skip_reason
from tests.fakes import FakeResolver, Zone

PATTERN = "dkim/00*.txt"


def load(path: Path) -> tuple[dict[str, dict[str, list[str]]], bytes]:
    """Take an example apart: key records at the top, an empty line, the message."""
    records, _, message = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    zone = {}
    for line in records.decode().splitlines():
        name, _, record = line.partition(" ")
        zone[name.rstrip(".").lower()] = {"TXT": [record]}
    return zone, message.replace(b"\n", b"\r\n")


class DkimExampleTests(SynchronousTestCase):
    skip = skip_reason(PATTERN)

    def verify(self, zone: Zone, content: bytes) -> tuple[DkimResult, ...]:
        # The day that the first signature was made: some of them have expired since.
        signed = re.search(rb"\bt=(\d+)", content)
        now = float(signed.group(1)) if signed else 1667400000.0
        verifier = Dkim(FakeResolver(zone), ThreadsInline(), lambda: now)
        return self.successResultOf(Deferred.fromCoroutine(verifier.verify(Message.from_bytes(content))))

    def test_examples(self) -> None:
        files = sorted(SUITES.glob(PATTERN))
        signatures = 0
        wrong = []
        for path in files:
            zone, content = load(path)
            results = self.verify(zone, content)
            signatures += len(results)
            wrong += [f"{path.name}: {result}" for result in results if result.result != "pass"]
            if not results:
                wrong.append(f"{path.name}: no signature was found")
        print(f"\n    DKIM: {signatures - len(wrong)} of {signatures} signatures in {len(files)} examples verify")
        self.assertEqual("\n".join(wrong), "")

    def test_a_changed_body_fails(self) -> None:
        for path in sorted(SUITES.glob(PATTERN)):
            zone, content = load(path)
            for result in self.verify(zone, content.rstrip() + b" more\r\n"):
                self.assertEqual((result.result, result.domain != ""), ("fail", True), path.name)

    def test_a_changed_subject_fails(self) -> None:
        for path in sorted(SUITES.glob(PATTERN)):
            zone, content = load(path)
            changed = re.sub(rb"(?m)^Subject:", b"Subject: Re:", content, count=1)
            results = self.verify(zone, changed)
            self.assertIn("fail", {result.result for result in results}, path.name)
