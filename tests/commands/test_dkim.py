"""`mailgw dkim`: the whole life of keys, and what each step says."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from mailgw.commands import dkim as command
from mailgw.delivery.dkim.keys import StoredKey, read_keys
from mailgw.delivery.dkim.publication import Publication
from tests.commands.files import CommandTest

NOW = 1_795_800_000.0  # 2026-11-27
DAY = 86400.0
Status = Literal["published", "missing", "other"]


class DkimTests(CommandTest):
    def setUp(self) -> None:
        super().setUp()
        self.now = NOW
        self.dns: dict[str, Status] = {}
        self.patch(command.time, "time", lambda: self.now)
        self.patch(command, "_published", self.published)
        self.keys = self.folder / "dkim"

    def published(self, settings: Any, keys: Sequence[StoredKey]) -> tuple[Publication, ...]:
        return tuple(Publication(stored, self.dns.get(stored.selector, "missing"), "x") for stored in keys)

    def dkim(self, *arguments: str, code: int = 0) -> str:
        result = self.run_command("dkim", *arguments, code=code)
        return result.stdout + result.stderr

    def states(self) -> dict[str, str]:
        return {stored.selector: stored.state for stored in read_keys(str(self.keys))}

    def contents(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.keys.rglob("*") if path.is_file()}

    def test_first_keys(self) -> None:
        text = self.dkim("new-key", "example.org")
        self.assertEqual(self.states(), {"2026q4-rsa": "active", "2026q4-ed25519": "active"})
        for stored in read_keys(str(self.keys)):
            self.assertIn(stored.record, text)
            self.assertEqual(os.stat(stored.path).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(self.keys).st_mode & 0o777, 0o700)
        self.assertIn("mailgw dkim check example.org", text)
        self.assertNotIn("PRIVATE", text)

    def test_keys_are_never_replaced(self) -> None:
        self.dkim("new-key", "example.org")
        before = self.contents()
        self.assertIn("mailgw dkim rotate example.org", self.dkim("new-key", "example.org", code=1))
        self.assertEqual(self.contents(), before)

    def test_one_algorithm_and_later_the_other(self) -> None:
        self.dkim("new-key", "example.org", "--algorithm", "rsa")
        self.assertEqual(list(self.states()), ["2026q4-rsa"])
        self.dkim("new-key", "example.org")
        self.assertEqual(len(self.states()), 2)

    def test_a_domain_that_is_not_ours(self) -> None:
        self.assertIn("is not one of [domains]", self.dkim("new-key", "example.com", code=1))
        self.assertFalse(self.keys.exists())

    def test_a_rotation_from_its_begin_to_its_end(self) -> None:
        self.dkim("new-key", "example.org")
        self.now += 200 * DAY
        text = self.dkim("rotate", "example.org")
        self.assertIn("2027q2-rsa._domainkey.example.org. IN TXT", text)
        self.assertIn("they do not sign yet", text)
        old, new = ("2026q4-rsa", "2026q4-ed25519"), ("2027q2-rsa", "2027q2-ed25519")
        self.assertEqual(self.states(), {**dict.fromkeys(old, "active"), **dict.fromkeys(new, "pending")})

        # Before they are published nothing changes.
        self.assertIn("2027q2-rsa._domainkey.example.org (rsa-sha256, pending): missing",
                      self.dkim("rotate", "example.org", code=1))  # fmt: skip
        self.dns = {"2027q2-rsa": "published"}
        self.dkim("rotate", "example.org", code=1)
        self.assertEqual(self.states()["2027q2-rsa"], "pending")
        self.dns = dict.fromkeys(new, "published")
        text = self.dkim("rotate", "example.org")
        self.assertEqual(self.states(), {**dict.fromkeys(old, "retiring"), **dict.fromkeys(new, "active")})
        self.assertIn("for 7 days more", text)

        # The old ones stay for a week.
        self.now += 6 * DAY
        self.assertIn("nothing to do", self.dkim("rotate", "example.org"))
        self.assertEqual(len(self.states()), 4)
        self.now += 2 * DAY
        text = self.dkim("rotate", "example.org")
        self.assertIn("2026q4-rsa._domainkey.example.org", text)
        self.assertEqual(self.states(), dict.fromkeys(new, "active"))

    def test_a_selector_is_never_used_again(self) -> None:
        self.dkim("new-key", "example.org")
        seen = set(self.states())
        for _ in range(3):
            self.dkim("rotate", "example.org")
            self.dkim("rotate", "example.org", "--finish")
            new = set(self.states()) - seen
            self.assertEqual(len(new), 2)
            seen |= new
            self.now += 8 * DAY
            self.dkim("rotate", "example.org")
            self.assertEqual(set(self.states()), new)

    def test_finish_does_not_ask_dns(self) -> None:
        self.dkim("new-key", "example.org")
        self.assertIn("has no next keys", self.dkim("rotate", "example.org", "--finish", code=1))
        self.dkim("rotate", "example.org")
        self.dkim("rotate", "example.org", "--finish")
        self.assertEqual(self.states()["2026q4b-rsa"], "active")

    def test_dry_run_changes_nothing_at_each_step(self) -> None:
        self.dkim("new-key", "example.org")
        for arguments, words in (((), "make the next keys"), (("--finish",), "sign with"), ((), "remove the files")):
            before = self.contents()
            self.assertIn(words, self.dkim("rotate", "example.org", "--dry-run", *arguments))
            self.assertEqual(self.contents(), before)
            self.dkim("rotate", "example.org", *arguments)
            if "--finish" in arguments:
                self.now += 8 * DAY

    def test_keys_made_by_hand_are_rotated_too(self) -> None:
        self.dkim("new-key", "example.org", "--algorithm", "rsa")
        folder = self.keys / "example.org"
        (folder / "2026q4-rsa.pem").rename(folder / "mail.pem")
        (folder / "selectors").unlink()
        self.dkim("rotate", "example.org")
        self.dkim("rotate", "example.org", "--finish")
        self.assertEqual(self.states(), {"mail": "retiring", "2026q4-rsa": "active"})

    def test_show_dns(self) -> None:
        self.assertIn("mailgw dkim new-key example.org", self.dkim("show-dns", code=1))
        self.dkim("new-key", "example.org")
        text = self.dkim("show-dns", "example.org")
        self.assertEqual(text, self.dkim("show-dns"))
        rsa = next(stored for stored in read_keys(str(self.keys)) if stored.algorithm == "rsa-sha256")
        strings = re.findall(r'"([^"]*)"', text[text.index(rsa.name) :].partition("; in a form")[0])
        self.assertEqual("".join(strings), rsa.record)
        self.assertLessEqual(max(map(len, strings)), 255)

    def test_check(self) -> None:
        self.dkim("new-key", "example.org")
        self.assertIn("2026q4-rsa._domainkey.example.org (rsa-sha256, active): missing", self.dkim("check", code=1))
        self.dns = {"2026q4-rsa": "published", "2026q4-ed25519": "published"}
        self.dkim("check", "example.org")
        self.dns["2026q4-rsa"] = "other"
        self.assertIn("other", self.dkim("check", code=1))

    def test_check_says_when_the_next_keys_are_published(self) -> None:
        self.dkim("new-key", "example.org")
        self.dkim("rotate", "example.org")
        self.dns = {"2026q4-rsa": "published", "2026q4-ed25519": "published"}
        self.assertNotIn("takes them into use", self.dkim("check"))
        self.dns |= {"2026q4b-rsa": "published", "2026q4b-ed25519": "published"}
        self.assertIn("`mailgw dkim rotate example.org` takes them into use", self.dkim("check"))

    def test_a_disk_that_is_full_leaves_no_key_that_signs(self) -> None:
        self.dkim("new-key", "example.org")
        before = self.states()
        with mock.patch(
            "mailgw.delivery.dkim.rotation.create_file", side_effect=OSError(28, "No space left on device")
        ):
            self.assertIn("No space left on device", self.dkim("rotate", "example.org", code=1))
        self.assertEqual(self.states(), before)
        self.dkim("rotate", "example.org")

    def test_wrong_files_are_named(self) -> None:
        self.dkim("new-key", "example.org")
        Path(self.keys, "example.org", "x.pem").write_text("nonsense")
        os.chmod(Path(self.keys, "example.org", "x.pem"), 0o600)
        self.assertIn("x.pem: this is no private key in PEM", self.dkim("check", code=1))
        self.assertIn("x.pem: this is no private key in PEM", self.run_command("check", code=1).stderr)


class KeyCheckTests(CommandTest):
    def test_no_keys_is_a_warning(self) -> None:
        from mailgw.commands.check import _look_at_keys
        from mailgw.config.schema import Domain, Listener, Settings, Signing

        settings = Settings(
            hostname="mail.example.org",
            domains={"example.org": Domain()},
            listeners={"submission": Listener(kind="submission")},
            signing=Signing(keys_directory=str(self.folder / "dkim")),
        )
        remarks, errors = _look_at_keys(settings)
        self.assertEqual((len(remarks), list(errors)), (1, []))
        self.assertIn("without a DKIM signature", remarks[0])
