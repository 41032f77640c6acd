"""`mailgw user`."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailgw.operation.threads import ThreadsInline
from mailgw.reception.credentials import MAX_PASSWORD, UserFile
from tests.commands.files import CommandTest


class UserTests(CommandTest):
    def login(self, username: str, password: str) -> str | None:
        users = UserFile(str(self.folder / "users"), ThreadsInline(), Clock())
        return self.successResultOf(Deferred.fromCoroutine(users.verify(username, password)))

    def listed(self) -> list[str]:
        return [row["address"] for row in self.json_lines("user", "list", "--json")]

    def test_a_prompt(self) -> None:
        result = self.run_command("user", "add", "alice@example.org", input="secret\nsecret\n")
        self.assertNotIn("secret", result.output)
        self.assertEqual(self.login("alice@example.org", "secret"), "alice@example.org")

    def test_a_prompt_that_was_answered_differently(self) -> None:
        self.run_command("user", "add", "alice@example.org", input="secret\nother\n", code=1)
        self.assertEqual(self.listed(), [])

    def test_from_the_input(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--password-stdin", input="with space \n")
        self.assertEqual(self.login("alice@example.org", "with space "), "alice@example.org")

    def test_generated(self) -> None:
        password = self.run_command("user", "add", "alice@example.org", "--generate").stdout.strip()
        self.assertGreaterEqual(len(password), 20)
        self.assertEqual(self.login("alice@example.org", password), "alice@example.org")

    def test_without_a_password(self) -> None:
        self.run_command("user", "add", "list@example.org", "--no-password")
        self.assertIsNone(self.login("list@example.org", ""))
        self.assertEqual(
            self.json_lines("user", "list", "--json"),
            [{"address": "list@example.org", "mail": "maildir", "password": False}],
        )

    def test_a_user_that_is_there(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--generate")
        result = self.run_command("user", "add", "ALICE@example.org", "--generate", code=1)
        self.assertIn("mailgw user password", result.stderr)

    def test_a_new_password(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--password-stdin", input="old\n")
        self.run_command("user", "password", "Alice@example.org", "--password-stdin", input="new\n")
        self.assertIsNone(self.login("alice@example.org", "old"))
        self.assertEqual(self.login("alice@example.org", "new"), "alice@example.org")
        self.assertIn("no user", self.run_command("user", "password", "bob@example.org", "--generate", code=1).stderr)

    def test_passwords_that_are_none(self) -> None:
        for text in ("", "\n", "x" * (MAX_PASSWORD + 1)):
            self.run_command("user", "add", "alice@example.org", "--password-stdin", input=text, code=1)
        self.assertEqual(self.listed(), [])

    def test_addresses_that_are_none(self) -> None:
        for address, words in (("alice", "no domain"), ("a b@x", "not an address"), ("a@other.example", "[domains]")):
            self.assertIn(words, self.run_command("user", "add", address, "--generate", code=1).stderr)

    def test_remove(self) -> None:
        for name in ("alice", "bob"):
            self.run_command("user", "add", f"{name}@example.org", "--no-password")
        self.run_command("user", "remove", "ALICE@example.org")
        self.assertEqual(self.listed(), ["bob@example.org"])
        self.run_command("user", "remove", "alice@example.org", code=1)

    def test_a_table(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--no-password")
        self.assertIn("alice@example.org", self.run_command("user", "list").stdout)

    def test_the_first_user_makes_the_file(self) -> None:
        (self.folder / "users").unlink()
        self.run_command("user", "list", code=1)
        self.run_command("user", "add", "alice@example.org", "--no-password")
        self.assertEqual(self.listed(), ["alice@example.org"])

    def test_a_folder_that_is_not_there(self) -> None:
        self.configuration.write_text(self.configuration.read_text() + '[routing]\nusers_file = "none/users"\n')
        result = self.run_command("user", "add", "alice@example.org", "--no-password", code=1)
        self.assertIn("cannot write", result.stderr)
