"""`mailgw learn`."""

from __future__ import annotations

import json
import mailbox
import os
import sys
from pathlib import Path

from mailgw.classifier.store import Learner
from mailgw.commands.messages import find_messages
from tests.classifier.support import message
from tests.commands.files import CommandTest


class LearnTests(CommandTest):
    def setUp(self) -> None:
        super().setUp()
        (self.folder / "state").mkdir()

    def files(self, name: str, count: int, *, spam: bool) -> str:
        folder = self.folder / name
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.eml").write_bytes(message(number, spam=spam))
        return str(folder)

    def status(self) -> dict[str, object]:
        return json.loads(self.run_command("learn", "--status", "--json").stdout)

    def test_learn_again_correct_and_forget(self) -> None:
        spam = self.files("spam", 12, spam=True)
        output = self.run_command("learn", "--spam", spam).stdout
        self.assertEqual(output, "12 learned, 0 corrected, 0 already known, 0 unreadable\n")
        output = self.run_command("learn", "--spam", spam).stdout
        self.assertEqual(output, "0 learned, 0 corrected, 12 already known, 0 unreadable\n")
        output = self.run_command("learn", "--ham", f"{spam}/3.eml", f"{spam}/4.eml").stdout
        self.assertEqual(output, "0 learned, 2 corrected, 0 already known, 0 unreadable\n")
        self.assertEqual((self.status()["spam"], self.status()["ham"]), (10, 2))
        self.assertEqual(
            self.run_command("learn", "--forget", spam).stdout, "12 forgotten, 0 not learned, 0 unreadable\n"
        )
        self.assertEqual((self.status()["spam"], self.status()["ham"]), (0, 0))
        result = self.run_command("learn", "--forget", spam, "--json")
        self.assertEqual(json.loads(result.stdout), {"forgotten": 0, "not learned": 12, "unreadable": 0})

    def test_mbox_and_maildir(self) -> None:
        box = mailbox.mbox(self.folder / "box")
        for number in range(5):
            box.add(message(number, spam=True) + b"\nFrom here on the text goes on.\n")
        box.close()
        maildir = mailbox.Maildir(self.folder / "maildir", create=True)
        for number in range(4):
            maildir.add(message(number, spam=False))
        (self.folder / "maildir" / ".Trash" / "cur").mkdir(parents=True)
        (self.folder / "maildir" / ".Trash" / "cur" / "1").write_bytes(message(77, spam=True))
        self.run_command("learn", "--spam", str(self.folder / "box"))
        self.run_command("learn", "--ham", str(self.folder / "maildir"))
        self.assertEqual((self.status()["spam"], self.status()["ham"]), (5, 4))

    def test_what_cannot_be_read_is_named_and_the_rest_is_learned(self) -> None:
        spam = self.files("spam", 3, spam=True)
        Path(spam, "empty.eml").write_bytes(b"\n")
        with open(Path(spam, "huge.eml"), "wb") as huge:
            huge.truncate(65 * 1024 * 1024)
        os.symlink("/etc/passwd", Path(spam, "link.eml"))
        result = self.run_command("learn", "--spam", spam)
        self.assertEqual(result.stdout, "3 learned, 0 corrected, 0 already known, 2 unreadable\n")
        self.assertIn(f"unreadable: {spam}/empty.eml: it is empty\n", result.stderr)
        self.assertIn(f"unreadable: {spam}/huge.eml: larger than 64 MiB\n", result.stderr)

    def test_status_says_what_is_missing_before_it_speaks(self) -> None:
        output = self.run_command("learn", "--status").stdout
        self.assertIn("not yet: 200 spam and 200 ham to learn before", output)
        self.write("filters.toml", "[filters.classifier]\nminimum = 10\n")
        self.run_command("learn", "--spam", self.files("spam", 10, spam=True))
        self.assertIn("not yet: 10 ham to learn before", self.run_command("learn", "--status").stdout)
        self.run_command("learn", "--ham", self.files("ham", 10, spam=False))
        output = self.run_command("learn", "--status").stdout
        self.assertRegex(output, r"learned +10 spam, 10 ham")
        self.assertRegex(output, r"speaks +yes")
        self.assertRegex(output, r"calibration +log-odds = 0\.\d\d x score")
        self.assertRegex(output, r"spam not known +\d+ of the last 10 \(")

    def test_while_another_learns(self) -> None:
        self.patch(sys.modules["mailgw.commands.learn"], "LOCK_SECONDS", 0.2)
        with Learner(self.folder / "state" / "classifier"):
            result = self.run_command("learn", "--spam", self.files("spam", 1, spam=True), code=1)
        self.assertIn("another process is learning", result.stderr)

    def test_wrong_use(self) -> None:
        folder = self.files("spam", 1, spam=True)
        self.assertIn("say --spam, --ham, --forget or --status", self.run_command("learn", folder, code=2).stderr)
        self.assertIn("--ham needs a PATH", self.run_command("learn", "--ham", code=2).stderr)
        self.assertIn("--status takes no PATH", self.run_command("learn", "--status", folder, code=2).stderr)
        self.assertIn("does not exist", self.run_command("learn", "--ham", f"{folder}/none", code=2).stderr)
        empty = self.folder / "empty"
        empty.mkdir()
        self.assertIn("there is no message at", self.run_command("learn", "--ham", str(empty), code=1).stderr)


class FindTests(CommandTest):
    def test_a_text_with_lines_like_those_of_mbox_is_one_message(self) -> None:
        path = self.folder / "one"
        path.write_bytes(
            b"From a@example.net  Mon Nov  2 10:00:00 2026\nSubject: x\n\nText\n\nFrom now on at 10:00\nwe meet.\n\n"
            b"From b@example.net  Mon Nov  2 11:00:00 2026\r\nSubject: y\n\nz\n"
        )
        first, second = find_messages(path)
        self.assertIn(b"we meet.", first.read())
        self.assertTrue(second.read().startswith(b"From b@example.net"))
