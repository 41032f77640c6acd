"""What hostile messages may cost: time and memory of all filters together, and how long the reactor's turns become."""

from __future__ import annotations

import base64
import io
import os
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from mailgw.config.schema import Domain, FilterFile, Settings
from mailgw.filters import catalogue
from mailgw.filters.runner import SYMBOLS, FilterRunner
from mailgw.mail.message import FileContent, Message, head_of
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import Pool
from tests.fakes import FakeResolver
from tests.filters.files import make_bomb
from tests.filters.support import make_transaction

MIB = 1024 * 1024
RULES = Path(__file__).parents[2] / "etc" / "rules.toml"
HEAD = b"From: Ann <ann@example.net>\r\nTo: bob@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
HTML = HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n"
ATTACHED = HEAD + b"Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"

TURN = 0.5
"""Seconds that no turn of the reactor may take."""
MEMORY = 100 * MIB
"""Octets that the filters may hold at once; a 25 MB file is decoded, which takes twice that for a time."""
SECONDS = 5.0
"""Seconds of processor for all filters of one message; on a machine that others use too."""


def zipped(size: int) -> bytes:
    """A zip of one stored member of octets that do not compress."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.bin", os.urandom(size))
    return file.getvalue()


def messages() -> Iterator[tuple[str, bytes, str]]:
    """Name, content, and a symbol that must be stated of it (or none)."""
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(10_000))
    levels = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(50))
    link = b'<a href="http://a%d.example/">http://www.example.com/%d</a>\r\n'
    yield "zip bomb", ATTACHED + base64.encodebytes(make_bomb()), "ATTACHMENT_BOMB"
    yield "10,000 nested parts", HEAD + nested, "MIME_EXCESSIVE"
    yield (
        "10,000 parts",
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 10_000,
        "MIME_EXCESSIVE",
    )
    yield "50 MB of HTML", HTML + b"<p>Hello <b>there</b></p>\r\n" * (50 * MIB // 26), ""
    yield "50 MB of one tag", HTML + b"<a " + b"x" * (50 * MIB), ""
    yield "100,000 links", HTML + b"".join(link % (n, n) for n in range(100_000)), "LINK_MISMATCH"
    yield (
        "100,000 hosts to normalise",
        HTML + b"".join(b"<a href='http://%%61%d.p\xd0\xb0ypal.com/'>x</a>" % n for n in range(100_000)),
        "LINK_OBFUSCATED",
    )
    yield "50 MB 50 levels deep", HEAD + levels + b"\r\n" * (25 * MIB), "MIME_EXCESSIVE"
    yield "24 MB of a zip", ATTACHED + base64.encodebytes(zipped(24 * MIB)).replace(b"\n", b"\r\n"), ""
    yield "a million addresses", HEAD + b"\r\n" + b"a@b.example " * 1_000_000, ""
    yield "a line of 50 MB", HEAD + b"\r\n" + b"x" * (50 * MIB), ""
    yield (
        "hidden letters",
        HTML + "".join(f"<p>p\u200ba\u200by{n}</p>" for n in range(40_000)).encode(),
        "HIDDEN_CHARACTERS",
    )
    yield "a header of 256 KB", HEAD + b"X: " + b"=?utf-8?B?" * 25_000 + b"\r\n\r\nx", ""


class BoundsTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.pool = Pool(reactor, "test", 2)  # type: ignore[arg-type]
        self.pool.start()
        self.addCleanup(self.pool.stop)
        found = catalogue.read(FilterFile(), "filters.toml", str(RULES))
        settings = Settings(domains={"example.org": Domain()})
        filters = found.make(settings, reactor, self.pool, FakeResolver())  # type: ignore[arg-type]
        self.runner = FilterRunner(filters, reactor)  # type: ignore[arg-type]

    def transaction(self, data: bytes) -> Transaction:
        path = self.mktemp()
        Path(path).write_bytes(data)
        return make_transaction(message=Message(FileContent(path, len(data)), head_of(data)))

    async def judge(self, data: bytes) -> tuple[Transaction, float, float]:
        """Run all filters; give the transaction, the seconds of processor, and the longest turn of the reactor."""
        transaction = self.transaction(data)
        del data
        turns = [time.monotonic()]
        gaps = [0.0]

        def tick() -> None:
            now = time.monotonic()
            gaps.append(now - turns[0])
            turns[0] = now

        loop = LoopingCall(tick)
        ticking = loop.start(0.005)
        before = time.process_time()
        await Deferred.fromCoroutine(self.runner.run(transaction))
        took = time.process_time() - before
        tick()
        loop.stop()
        await ticking
        return transaction, took, max(gaps)

    async def test_time_and_turns(self) -> None:
        for name, data, symbol in messages():
            transaction, took, turn = await self.judge(data)
            stated = {e.symbol for e in transaction.evidence}
            if os.environ.get("MAILGW_SHOW"):
                print(f"{name:28} {len(data) / MIB:6.1f} MB  {took:6.3f} s  longest turn {turn * 1000:6.1f} ms")
            self.assertEqual(stated & set(SYMBOLS), set(), name)
            self.assertTrue(not symbol or symbol in stated, f"{name}: {sorted(stated)}")
            self.assertLess(took, SECONDS, name)
            self.assertLess(turn, TURN, name)

    async def test_memory(self) -> None:
        for name, data, _ in messages():
            transaction = self.transaction(data)
            del data
            tracemalloc.start()
            try:
                await Deferred.fromCoroutine(self.runner.run(transaction))
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            if os.environ.get("MAILGW_SHOW"):
                print(f"{name:28} {peak / MIB:6.1f} MB of memory")
            self.assertLess(peak, MEMORY, name)
