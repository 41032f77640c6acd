"""The anatomy of a message: what is in it, once for all who ask, and where large ones are taken apart."""

from __future__ import annotations

import io
import zipfile
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.anatomy import EMPTY, Anatomies, Anatomy, dissect, opened
from mailgw.filters.mime import find_structure
from mailgw.filters.text import INLINE_SIZE
from mailgw.mail.message import BytesContent, FileContent, Message, head_of
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import ThreadsInline
from tests.filters.support import make_transaction


class ThreadsLater:
    """Threads whose work is done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    async def run(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        deferred: Deferred[None] = Deferred()
        self.waiting.append(deferred)
        await deferred
        return work(*args, **kwargs)


def make_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "x" * 100)
    return file.getvalue()


class DissectTests(SynchronousTestCase):
    def setUp(self) -> None:
        message = EmailMessage(policy=policy.SMTP)
        message["Subject"] = "x"
        message.set_content("See http://a.example/ or ask ann@example.net.\n")
        message.add_alternative('<p>See <a href="http://b.example/">http://a.example/</a></p>', subtype="html")
        message.add_attachment(make_zip(), "application", "pdf", filename="bill.pdf")
        message.add_attachment("name;amount\n", subtype="csv", filename="t.csv", disposition="inline")
        self.data = message.as_bytes()

    def test_parts(self) -> None:
        parts = dissect(BytesContent(self.data)).parts
        self.assertEqual(
            [(p.content_type, p.kind, p.filename, p.disposition, p.depth) for p in parts],
            [
                ("text/plain", "", "", "", 2),
                ("text/html", "", "", "", 2),
                ("application/pdf", "zip", "bill.pdf", "attachment", 1),
                ("text/csv", "", "t.csv", "inline", 1),
            ],
        )

    def test_what_holds_the_parts(self) -> None:
        structure = find_structure(self.data)
        self.assertEqual(
            [(c.content_type, c.depth, c.parent) for c in structure.containers],
            [("multipart/mixed", 0, -1), ("multipart/alternative", 1, 0)],
        )
        self.assertEqual([p.parent for p in structure.parts], [1, 1, 0, 0])
        self.assertEqual(structure.flaws, ())

    def test_text_links_and_addresses(self) -> None:
        anatomy = dissect(BytesContent(self.data))
        self.assertEqual(
            anatomy.body.split("\n"),
            ["See http://a.example/ or ask ann@example.net.", "See http://a.example/", "name;amount"],
        )
        self.assertEqual(
            [(link.host.name, link.shown) for link in anatomy.links],
            [("a.example", ""), ("b.example", "http://a.example/")],
        )
        self.assertEqual(anatomy.hosts, ("a.example", "b.example"))
        self.assertEqual([str(a) for a in anatomy.addresses], ["ann@example.net"])

    def test_a_file_gives_the_same_as_memory(self) -> None:
        path = self.mktemp()
        Path(path).write_bytes(self.data)
        content = FileContent(path, len(self.data))
        self.assertEqual(dissect(content), dissect(BytesContent(self.data)))
        with opened(content) as data:
            self.assertEqual(find_structure(data).parts[2].decode(data), make_zip())

    def test_an_empty_file(self) -> None:
        path = self.mktemp()
        Path(path).write_bytes(b"")
        self.assertEqual(dissect(FileContent(path, 0)).body, "")

    def test_pieces_are_the_whole(self) -> None:
        source = bytes(range(256)) * 4000
        for encoding in ("base64", "quoted-printable", "8bit"):
            message = EmailMessage(policy=policy.SMTP)
            if encoding == "8bit":
                data = b"Content-Transfer-Encoding: 8bit\r\n\r\n" + source
            else:
                message.set_content(source, "application", "octet-stream", cte=encoding)
                data = message.as_bytes()
            (part,) = find_structure(data).parts
            self.assertEqual(b"".join(part.pieces(data)), source, encoding)
            self.assertEqual(part.decode(data, 1000), source[:1000], encoding)

    def test_flaws(self) -> None:
        head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(60))
        for data, flaws in (
            (head + b"--b\r\n\r\none\r\n--b--\r\n", ()),
            (head + b"--b\r\n\r\none", ("not closed",)),
            (head + b"nothing", ("not begun",)),
            (b"Content-Type: multipart/mixed\r\n\r\nx", ("no boundary",)),
            (head + b"--b\r\n\r\nx\r\n" * 2000 + b"--b--\r\n", ("too many parts", "not closed")),
            (deep, ("not closed", "too deep")),
        ):
            self.assertEqual(find_structure(data).flaws, flaws, data[:80])


class AnatomiesTests(SynchronousTestCase):
    LARGE = b"Subject: x\r\n\r\n" + b"word " * INLINE_SIZE

    def of(self, anatomies: Anatomies, transaction: Transaction) -> Deferred[Anatomy]:
        return Deferred.fromCoroutine(anatomies.of(transaction))

    def test_a_small_message_is_taken_apart_at_once_and_once(self) -> None:
        threads = ThreadsLater()
        anatomies = Anatomies(threads)
        transaction = make_transaction()
        first = self.successResultOf(self.of(anatomies, transaction))
        self.assertIs(self.successResultOf(self.of(anatomies, transaction)), first)
        self.assertEqual((first.body, first.is_large, threads.waiting), ("At noon?", False, []))

    def test_a_large_one_in_a_thread_once_for_all_who_wait(self) -> None:
        threads = ThreadsLater()
        anatomies = Anatomies(threads)
        transaction = make_transaction(self.LARGE)
        waiting = [self.of(anatomies, transaction) for _ in range(3)]
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.assertEqual(len(threads.waiting), 1)
        threads.waiting[0].callback(None)
        first = self.successResultOf(waiting[0])
        self.assertTrue(first.is_large)
        self.assertIs(self.successResultOf(waiting[2]), first)
        self.assertIs(self.successResultOf(self.of(anatomies, transaction)), first)

    def test_work_on_a_large_one_is_done_in_a_thread(self) -> None:
        threads = ThreadsLater()
        anatomies = Anatomies(threads)
        for data, runs in ((self.LARGE, 2), (b"\r\nx", 0)):
            threads.waiting.clear()
            done = Deferred.fromCoroutine(anatomies.run(make_transaction(data), lambda anatomy, n: anatomy.body[:n], 1))
            for _ in range(runs):
                threads.waiting[-1].callback(None)
            self.assertIn(self.successResultOf(done), ("w", "x"))
            self.assertEqual(len(threads.waiting), runs)

    def test_a_file_that_is_gone_fails_for_each_who_asks(self) -> None:
        anatomies = Anatomies(ThreadsInline())
        transaction = make_transaction(message=Message(FileContent("gone", 5), head_of(b"\r\n")))
        for _ in range(2):
            self.failureResultOf(self.of(anatomies, transaction), OSError)

    def test_no_message(self) -> None:
        transaction = make_transaction()
        transaction.message = None
        self.assertIs(self.successResultOf(self.of(Anatomies(ThreadsInline()), transaction)), EMPTY)
