"""What users moved: both directions, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier.folders import Filed, Folders, find_filed
from tests.classifier.support import message

NOW = 2_000_000_000.0
HOST = "mail.example.org"


def delivered(number: int, *, spam: bool, flagged: bool, host: str = HOST, identity: str = "") -> bytes:
    """A message as `delivery.maildir` writes it."""
    return (
        "Return-Path: <a@example.net>\nDelivered-To: bob@example.org\n"
        f"Received: from x.example ([192.0.2.1])\n by {host} (mailgw) with ESMTPS id {identity or f'{number:016d}'}\n"
        " (TLSv1.3) for <bob@example.org>;\n Mon, 2 Nov 2026 10:00:00 +0000\n"
        f"Authentication-Results: {host}; none\nX-Spam-Flag: {'YES' if flagged else 'NO'}\nX-Spam-Score: 1.00\n"
    ).encode() + message(number, spam=spam)


class FoldersTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.folders = Folders.of(str(self.root), "INBOX", ".Spam", HOST)

    def put(self, folder: str, data: bytes, *, name: str = "1.x", user: str = "bob") -> Path:
        cur = self.root / "example.org" / user / folder / "cur"
        cur.mkdir(parents=True, exist_ok=True)
        path = cur / f"{name}:2,S"
        path.write_bytes(data)
        return path

    def find(self, since: float = 0.0) -> list[Filed]:
        return list(find_filed(self.folders, since))


class FindTests(FoldersTest):
    def test_where_a_message_is_and_where_we_put_it(self) -> None:
        self.put("", delivered(1, spam=True, flagged=True))
        self.put(".Spam", delivered(2, spam=True, flagged=False), name="2.x")
        self.put(".Spam", delivered(3, spam=True, flagged=True), name="3.x", user="eve")
        found = [(f.reference, f.now_spam, f.was_spam) for f in self.find()]
        self.assertEqual(
            found,
            [
                ("0000000000000001/example.org/bob", False, True),
                ("0000000000000002/example.org/bob", True, False),
                ("0000000000000003/example.org/eve", True, True),
            ],
        )

    def test_trash_and_other_folders_say_nothing(self) -> None:
        for folder in (".Trash", ".Archive", ".Spam.Sub"):
            self.put(folder, delivered(1, spam=True, flagged=True))
        path = self.put("", delivered(2, spam=True, flagged=True), name="2.x")
        path.rename(path.with_name("2.x:2,ST"))
        self.assertEqual(self.find(), [])

    def test_mail_that_came_another_way_says_nothing(self) -> None:
        self.put("", message(1, spam=False), name="1")
        self.put("", delivered(2, spam=True, flagged=True, host="other.example"), name="2")
        # Who forges our field stands below the true one.
        forged = b"Received: from z by imap.example with LMTP id x;\n Mon, 2 Nov 2026 10:00:00 +0000\n"
        self.put("", forged + delivered(3, spam=True, flagged=True), name="3")
        self.put("", b"", name="4")
        self.put("", os.urandom(40_000), name="5")
        self.assertEqual(self.find(), [])

    def test_what_has_not_changed_is_not_looked_at(self) -> None:
        path = self.put("", delivered(1, spam=True, flagged=True))
        later = os.stat(path).st_ctime + 1000
        self.assertEqual(self.find(later), [])
        os.utime(path.parent, (later, later))
        self.assertEqual(self.find(later), [])  # the folder changed, the message did not
        self.assertEqual(len(self.find(later - 1000)), 1)

    def test_no_folders(self) -> None:
        self.assertEqual(list(find_filed(Folders.of("/nowhere", "INBOX", "Spam", HOST), 0.0)), [])

    def test_names_of_folders(self) -> None:
        folders = Folders.of("/r", ".Incoming", "Spam", HOST)
        self.assertEqual((folders.inbox, folders.spam), (".Incoming", ".Spam"))
