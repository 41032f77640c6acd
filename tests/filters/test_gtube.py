"""GTUBE where the message is in a file; its other cases stand in tests/evidence."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.base import FilterSettings
from mailgw.filters.gtube import STRING, Gtube
from mailgw.filters.text import SCAN_SIZE
from mailgw.mail.message import FileContent, Message, head_of
from mailgw.operation.threads import ThreadsInline
from tests.filters.support import make_transaction


class GtubeTests(SynchronousTestCase):
    def symbols(self, data: bytes, *, in_file: bool) -> list[str]:
        message = Message.from_bytes(data)
        if in_file:
            path = self.mktemp()
            Path(path).write_bytes(data)
            message = Message(FileContent(path, len(data)), head_of(data))
        transaction = make_transaction(message=message)
        filter = Gtube(FilterSettings(), ThreadsInline())
        return [e.symbol for e in self.successResultOf(Deferred.fromCoroutine(filter.check(transaction)))]

    def test_within_the_first_mebibyte(self) -> None:
        for in_file in (False, True):
            early = b"Subject: x\r\n\r\n" + b"a" * (SCAN_SIZE // 2) + STRING + b"b" * SCAN_SIZE
            late = b"Subject: x\r\n\r\n" + b"a" * SCAN_SIZE + STRING
            self.assertEqual(self.symbols(early, in_file=in_file), ["GTUBE"])
            self.assertEqual(self.symbols(late, in_file=in_file), [])

    def test_not_in_the_header(self) -> None:
        self.assertEqual(self.symbols(b"Subject: " + STRING + b"\r\n\r\n", in_file=True), [])
