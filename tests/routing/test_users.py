"""The users file: reading, and changes that leave the rest as it is."""

from __future__ import annotations

import os
import stat
from unittest import mock

from mailgw.config.errors import ConfigurationErrors
from mailgw.mail.address import Mailbox
from mailgw.routing.users import NO_PASSWORD, read_users, remove_user, set_user
from tests.config.files import ConfigurationTest
from tests.routing.files import HASH

ALICE = Mailbox.parse("alice@example.org")


class ReadTests(ConfigurationTest):
    def test_lines(self) -> None:
        path = self.write("users", f'# us\n\nalice@example.org:{HASH}\n "a:b"@example.org : {NO_PASSWORD} \r\n')
        self.assertEqual(
            [(str(user.mailbox), user.password_hash, user.line) for user in read_users(str(path))],
            [("alice@example.org", HASH, 3), ('"a:b"@example.org', NO_PASSWORD, 4)],
        )

    def test_errors(self) -> None:
        path = self.write(
            "users",
            f"alice@example.org:{HASH}\nalice\nbob@example.org:secret\n@x:{HASH}\nALICE@example.org:{HASH}\n"
            "carol@example.org:$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aaaa\n",
        )
        found = self.assertRaises(ConfigurationErrors, read_users, str(path))
        self.assertEqual([error.line for error in found.errors], [2, 3, 4, 5, 6])
        self.assertIn("mailgw user", str(found.errors[0]))
        self.assertIn("is in line 1 already", str(found.errors[3]))
        # What stands in place of a hash may be a password.
        self.assertNotIn("secret", str(found))


class ChangeTests(ConfigurationTest):
    TEXT = f"# first\nbob@example.org:{NO_PASSWORD}\n\n  # second\nAlice@example.org:{NO_PASSWORD}\n# last"

    def test_add(self) -> None:
        path = self.write("users", self.TEXT)
        set_user(str(path), Mailbox.parse("carol@example.org"), HASH)
        self.assertEqual(path.read_text(), f"{self.TEXT}\ncarol@example.org:{HASH}\n")

    def test_change(self) -> None:
        path = self.write("users", self.TEXT)
        set_user(str(path), ALICE, HASH)
        self.assertEqual(
            path.read_text(), self.TEXT.replace(f"Alice@example.org:{NO_PASSWORD}", f"alice@example.org:{HASH}")
        )

    def test_remove(self) -> None:
        path = self.write("users", self.TEXT)
        self.assertTrue(remove_user(str(path), ALICE))
        self.assertEqual(path.read_text(), self.TEXT.replace(f"Alice@example.org:{NO_PASSWORD}\n", ""))
        self.assertFalse(remove_user(str(path), ALICE))

    def test_a_new_file(self) -> None:
        path = self.folder / "users"
        self.assertFalse(remove_user(str(path), ALICE))
        set_user(str(path), ALICE, HASH)
        self.assertEqual(path.read_text(), f"alice@example.org:{HASH}\n")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)
        self.assertEqual(os.listdir(self.folder), ["users"])

    def test_mode(self) -> None:
        path = self.write("users", "")
        path.chmod(0o666)
        set_user(str(path), ALICE, HASH)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)

    def test_a_failure_leaves_the_file_as_it_was(self) -> None:
        path = self.write("users", self.TEXT)
        with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")):
            self.assertRaises(OSError, set_user, str(path), ALICE, HASH)
        self.assertEqual(path.read_text(), self.TEXT)
        self.assertEqual(os.listdir(self.folder), ["users"])
