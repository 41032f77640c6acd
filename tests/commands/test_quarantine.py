"""`mailgw quarantine` on a queue without a gateway."""

from __future__ import annotations

import time
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from mailgw.mail.address import Mailbox
from mailgw.queue import quarantine
from mailgw.queue.item import Destination
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry
from tests.commands.files import CommandTest
from tests.queue.items import entry

_TWO = (Destination("relay", "mx:example.org"), Destination("maildir", "user1@example.org", "inbox"))


class QuarantineTests(CommandTest, TestCase):
    async def fill(self, *entries: Entry, until: float = 4e9) -> None:
        """All of them held."""
        (self.folder / "state").mkdir()
        store = SqliteStore(self.folder / "state" / "queue", reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        for one in entries:
            await store.put(evolve(one, deliveries=tuple(quarantine.hold(d, until) for d in one.deliveries)))
        await store.close()

    async def fill_three(self) -> None:
        await self.fill(
            entry("01ABCDEFGH000001", reverse_path=None),
            entry("01ABCDEFGH000002", _TWO),
            entry("01ABCDEFGH000003", reverse_path=Mailbox("Carol", "shop.example")),
        )

    def held(self, *arguments: str) -> dict[str, list[str]]:
        lines: list[Any] = self.json_lines("quarantine", "list", "--json", *arguments)
        return {line["id"][-1]: line["recipients"] for line in lines}

    async def test_list(self) -> None:
        await self.fill_three()
        user0, user1 = "user0@example.org", "user1@example.org"
        for arguments, held in (
            ((), {"1": [user0], "2": [user0, user1], "3": [user0]}),
            (("--from", "carol"), {"3": [user0]}),
            (("--from", "<>"), {"1": [user0]}),
            (("--to", "USER1"), {"2": [user1]}),
            (("--limit", "2"), {"1": [user0], "2": [user0, user1]}),
            (("01abcdefgh000002",), {"2": [user0, user1]}),
            (("--since", "2100-01-01"), {}),
        ):
            self.assertEqual(self.held(*arguments), held, arguments)
        self.assertIn("3 messages are held\n", self.run_command("quarantine", "list").stdout)
        self.assertIn(
            "3 messages are held, 2 of them shown", self.run_command("quarantine", "list", "--limit", "2").stdout
        )

    async def test_release_for_one_recipient_only(self) -> None:
        await self.fill_three()
        output = self.run_command("quarantine", "release", "--to", "user1", "--dry-run").stdout
        self.assertIn("01ABCDEFGH000002 from sender@example.net for user1@example.org: hello", output)
        self.assertIn("1 messages would be released", output)
        self.assertEqual(self.run_command("quarantine", "release", "--to", "user1").stdout, "1 messages released\n")
        self.assertEqual(self.held()["2"], ["user0@example.org"])
        (waiting,) = self.json_lines("queue", "list", "--json", "--destination", "maildir:*")
        self.assertEqual(waiting["deliveries"][0]["destination"], "maildir:user1@example.org/inbox")

    async def test_delete(self) -> None:
        await self.fill_three()
        self.assertIn("Aborted", self.run_command("quarantine", "delete", "--from", "shop", code=1, input="n\n").stderr)
        self.assertEqual(
            self.run_command("quarantine", "delete", "--from", "shop", "--yes").stdout, "1 messages deleted\n"
        )
        self.assertEqual(list(self.held()), ["1", "2"])

    async def test_what_is_not_held_is_named(self) -> None:
        await self.fill_three()
        refused = self.run_command("quarantine", "release", "01ABCDEFGH000001", "01ABCDEFGH000009", code=1)
        self.assertIn("not held: 01ABCDEFGH000009", refused.stderr)
        self.assertIn("say which", self.run_command("quarantine", "release", code=2).stderr)
        self.assertEqual(len(self.held()), 3)

    async def test_what_is_about_to_be_thrown_away_is_too_late(self) -> None:
        await self.fill(entry("01ABCDEFGH000001"), until=time.time() + 30)
        for arguments, named in ((("01abcdefgh000001",), "01ABCDEFGH000001"), (("--to", "user"), "1 messages")):
            refused = self.run_command("quarantine", "release", *arguments, code=1)
            self.assertIn(f"too late, their time is over or somebody was faster: {named}", refused.stderr)
