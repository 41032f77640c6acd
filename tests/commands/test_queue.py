"""`mailgw queue`."""

from __future__ import annotations

import json

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from mailgw.queue.sqlite import SqliteStore
from tests.commands.files import CommandTest
from tests.queue.items import entry, full_entry


class NoQueueTests(CommandTest):
    def test_the_gateway_has_never_run(self) -> None:
        result = self.run_command("queue", "list", code=1)
        self.assertIn(f"{self.folder}/state/queue holds no queue", result.stderr)


class QueueTests(CommandTest, TestCase):
    async def fill(self, *entries: object) -> None:
        (self.folder / "state").mkdir()
        store = SqliteStore(self.folder / "state" / "queue", reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        for one in entries:
            await store.put(one)  # type: ignore[arg-type]  # entries of tests.queue.items
        await store.close()

    async def test_list(self) -> None:
        await self.fill(entry("01ABCDEFGH000001", reverse_path=None), full_entry("01ABCDEFGH000002"))
        output = self.run_command("queue", "list").stdout
        for text in ("01ABCDEFGH000001", "01ABCDEFGH000002", "<>", "sender@example.net", "and 2 more"):
            self.assertIn(text, output)
        self.assertTrue(output.endswith("2 messages with 4 deliveries in the queue\n"), output)
        self.assertIn("in the queue, 1 of them shown", self.run_command("queue", "list", "--limit", "1").stdout)

    async def test_list_json(self) -> None:
        await self.fill(*(entry(f"01ABCDEFGH{n:06}") for n in range(203)))
        lines = self.json_lines("queue", "list", "--json", "--limit", "202")
        self.assertEqual([line["id"] for line in lines], [f"01ABCDEFGH{n:06}" for n in range(202)])
        self.assertEqual(lines[0]["deliveries"][0]["forward_path"], "user0@example.org")
        self.assertEqual(lines[0]["deliveries"][0]["destination"], "relay:mx:example.org")

    async def test_list_what_is_selected(self) -> None:
        await self.fill(entry("01ABCDEFGH000001", reverse_path=None), full_entry("01ABCDEFGH000002"))
        for arguments, numbers in (
            (("--sender", "<>"), [[0]]),
            (("--recipient", "*@bücher.example"), [[1]]),
            (("--destination", "relay:route:*"), [[1]]),
            (("--reason", "later"), [[0]]),
            (("--since", "2000-01-01"), [[0, 1, 2]]),
            (("01abcdefgh000002",), [[0, 1, 2]]),
            ((), [[0], [0, 1, 2]]),
        ):
            lines = self.json_lines("queue", "list", "--json", *arguments)
            self.assertEqual([[d["number"] for d in line["deliveries"]] for line in lines], numbers, arguments)
        output = self.run_command("queue", "list", "--destination", "relay:*").stdout
        self.assertTrue(output.endswith("2 messages with 3 deliveries selected\n"), output)

    async def test_summary(self) -> None:
        await self.fill(entry("01ABCDEFGH000001"), entry("01ABCDEFGH000002"), full_entry("01ABCDEFGH000003"))
        output = self.run_command("queue", "list", "--summary").stdout
        self.assertIn("relay:mx:example.org", output)
        self.assertTrue(output.endswith("5 deliveries for 3 destinations\n"), output)
        lines = self.json_lines("queue", "list", "--summary", "--json")
        self.assertEqual(
            [(line["destination"], line["deliveries"]) for line in lines],
            [("relay:mx:example.org", 3), ("maildir:a@example.org/spam", 1), ("relay:route:out", 1)],
        )
        self.assertEqual(lines[1]["last"], "later ü")
        self.assertEqual(len(self.json_lines("queue", "list", "--summary", "--json", "--limit", "1")), 1)

    async def test_show(self) -> None:
        await self.fill(full_entry("01ABCDEFGH00FULL"))
        output = self.run_command("queue", "show", "01abcdefgh00full").stdout
        for text in ("spam, score 7.25", "SPF_FAIL", "maildir:a@example.org/spam", "later ü", "alice@example.org"):
            self.assertIn(text, output)
        # What a stranger wrote must not reach the terminal as control characters.
        self.assertNotIn("\x00", output)
        details = json.loads(self.run_command("queue", "show", "01ABCDEFGH00FULL", "--json").stdout)
        self.assertEqual(details["verdict"]["action"], "spam")
        self.assertEqual(len(details["deliveries"]), 3)

    async def test_show_what_is_not_there(self) -> None:
        await self.fill()
        self.assertIn("not in the queue", self.run_command("queue", "show", "01ABC", code=1).stderr)
        self.assertEqual(self.run_command("queue", "list").stdout, "0 messages with 0 deliveries in the queue\n")
