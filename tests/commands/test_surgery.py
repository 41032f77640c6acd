"""`mailgw queue flush|hold|release|delete|reroute`."""

from __future__ import annotations

import time

from attrs import evolve
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from mailgw.mail.message import Message
from mailgw.queue.item import Destination
from mailgw.queue.sqlite import SqliteStore
from tests.commands.files import CommandTest
from tests.config.files import BASE
from tests.queue.items import entry

LATER = 4e9
RELAY = Destination("relay", "mx:example.org")
FOLDER = Destination("maildir", "user1@example.org", "inbox")


class SurgeryTests(CommandTest, TestCase):
    async def fill(self, hop: Destination = RELAY) -> None:
        """Two messages; the second goes to a next hop and to a folder."""
        (self.folder / "state").mkdir()
        store = SqliteStore(self.folder / "state" / "queue", reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        await store.put(entry("01ABCDEFGH000001", due=LATER, expires=LATER, reverse_path=None))
        await store.put(entry("01ABCDEFGH000002", (hop, FOLDER), due=LATER, expires=LATER))
        await store.close()

    def queue(self) -> dict[str, list[tuple[str, float]]]:
        return {
            line["id"]: [(d["destination"], d["due"]) for d in line["deliveries"]]
            for line in self.json_lines("queue", "list", "--json")
        }

    def destinations(self) -> list[str]:
        return [destination for deliveries in self.queue().values() for destination, _ in deliveries]

    async def test_flush_by_recipient(self) -> None:
        await self.fill()
        output = self.run_command("queue", "flush", "--recipient", "USER1@example.*").stdout
        self.assertEqual(output, "1 deliveries of 1 messages are tried now\n")
        due = [due for deliveries in self.queue().values() for _, due in deliveries]
        self.assertEqual(sum(abs(time.time() - when) < 60 for when in due), 1)
        self.assertEqual(sum(when == LATER for when in due), 2)

    async def test_nothing_without_a_selection_but_by_all(self) -> None:
        await self.fill()
        self.assertIn("say which", self.run_command("queue", "flush", code=2).stderr)
        self.assertIn("3 deliveries of 2 messages", self.run_command("queue", "flush", "--all").stdout)

    async def test_a_dry_run_changes_nothing(self) -> None:
        await self.fill()
        before = self.queue()
        output = self.run_command("queue", "delete", "--sender", "<>", "--dry-run").stdout
        self.assertIn("01ABCDEFGH000001 from <> to user0@example.org by relay:mx:example.org", output)
        self.assertIn("1 deliveries of 1 messages would be deleted", output)
        self.assertEqual(self.queue(), before)

    async def test_delete(self) -> None:
        await self.fill()
        self.assertIn("Aborted", self.run_command("queue", "delete", "--all", code=1, input="n\n").stderr)
        self.assertEqual(len(self.queue()), 2)
        self.run_command("queue", "delete", "01abcdefgh000001", "--yes")
        self.run_command("queue", "delete", "--destination", "maildir:*", "--yes")
        self.assertEqual(self.destinations(), ["relay:mx:example.org"])

    async def test_hold_and_release(self) -> None:
        await self.fill()
        self.run_command("queue", "hold", "--until", "2100-01-01", "--destination", "relay:*")
        self.assertEqual(
            sorted(self.destinations()),
            ["maildir:user1@example.org/inbox", "quarantine:relay:mx:example.org", "quarantine:relay:mx:example.org"],
        )
        held = [due for deliveries in self.queue().values() for to, due in deliveries if to.startswith("quarantine")]
        self.assertTrue(all(due - time.time() > 5 * 365 * 86400 for due in held))
        # What is held is the quarantine's: flush leaves it alone.
        self.assertIn("1 deliveries", self.run_command("queue", "flush", "--all").stdout)
        self.assertIn("2 messages are held", self.run_command("quarantine", "list").stdout)
        self.assertIn("2 deliveries", self.run_command("queue", "release", "--all").stdout)
        self.assertNotIn("quarantine", " ".join(self.destinations()))

    async def test_reroute_leaves_forwarded_mail_its_return_path(self) -> None:
        """It became mail of the sender's own, which SPF forbids us to send."""
        await self.fill(Destination("forward", "mx:example.org"))
        output = self.run_command("queue", "reroute", "--recipient", "*", "--to", "mx:other.example").stdout
        self.assertIn("2 deliveries of 2 messages are sent to mx:other.example", output)
        self.assertEqual(
            sorted(self.destinations()),
            ["forward:mx:other.example", "maildir:user1@example.org/inbox", "relay:mx:other.example"],
        )

    async def test_reroute_by_the_rules_of_now(self) -> None:
        """The way is chosen when mail comes: what waits then follows a rule that was added."""
        await self.fill(Destination("forward", "mx:other.example"))
        self.write("users", "postmaster@own.example:!\n")
        text = f'state_directory = "state"\nrules_file = ""\n{BASE}'.replace("example.org", "own.example")
        rules = '[relay.rules.{0}]\n{1}\nvia = "route:{0}"\n[routes.{0}]\nhosts = ["{0}.example"]\n'
        self.write(
            "mailgw.toml",
            text
            + rules.format("reports", 'senders = ["<>"]')
            + rules.format("forwarded", 'senders = ["own.example"]\nrecipients = ["example.org"]'),
        )
        arguments = ("queue", "reroute", "--all", "--to", "rules")
        before = self.queue()
        output = self.run_command(*arguments, "--dry-run").stdout
        self.assertIn(
            "01ABCDEFGH000001 to user0@example.org by relay:mx:example.org, now by relay:route:reports", output
        )
        self.assertIn("2 of 2 deliveries would go another way", output)
        self.assertEqual(self.queue(), before)
        self.assertEqual(self.run_command(*arguments).stdout, "2 of 2 deliveries go another way\n")
        self.assertEqual(
            sorted(self.destinations()),
            ["forward:route:forwarded", "maildir:user1@example.org/inbox", "relay:route:reports"],
        )
        self.assertEqual(self.run_command(*arguments).stdout, "0 of 2 deliveries go another way\n")

    async def test_reroute_wants_to_be_told_which(self) -> None:
        await self.fill()
        before = self.queue()
        self.assertIn("say which", self.run_command("queue", "reroute", "--to", "mx:other.example", code=2).stderr)
        self.assertEqual(self.queue(), before)

    async def test_reroute_takes_next_hops_only(self) -> None:
        await self.fill()
        self.assertIn(
            "there is no [routes.nowhere]",
            self.run_command("queue", "reroute", "--all", "--to", "route:nowhere", code=2).stderr,
        )
        output = self.run_command("queue", "reroute", "--all", "--to", "mx:other.example").stdout
        self.assertIn("2 deliveries of 2 messages are sent to mx:other.example", output)
        self.assertEqual(
            sorted(self.destinations()),
            ["maildir:user1@example.org/inbox", "relay:mx:other.example", "relay:mx:other.example"],
        )

    async def test_salvage(self) -> None:
        await self.fill()
        state = self.folder / "state"
        before = self.queue()
        self.assertEqual(
            self.run_command("queue", "salvage", str(state / "queue"), "--dry-run").stdout, "2 messages can be read\n"
        )
        (state / "queue").rename(state / "damaged")
        output = self.run_command("queue", "salvage", str(state / "damaged")).stdout
        self.assertEqual(output, "2 messages of 2 that can be read are in the queue\n")
        self.assertEqual(self.queue(), before)
        output = self.run_command("queue", "salvage", str(state / "damaged")).stdout
        self.assertEqual(output, "0 messages of 2 that can be read are in the queue\n")

    async def test_salvage_says_what_it_cannot_read(self) -> None:
        (self.folder / "state").mkdir()
        queue = self.folder / "state" / "queue"
        store = SqliteStore(queue, reactor, inline_size=10, minimum_free=0, clock=reactor)
        await store.open()
        writer = store.new_content("01ABCDEFGH000001")
        await writer.write(b"x" * 100)
        put = entry("01ABCDEFGH000001")
        message = evolve(put.message, message=Message(await writer.finish(), b""))
        await store.put(evolve(put, message=message), entry("01ABCDEFGH000002"))
        await store.close()
        (queue / "content" / "01ABCDEFGH000001").unlink()
        result = self.run_command("queue", "salvage", str(queue), "--dry-run", code=1)
        self.assertEqual(result.stdout, "1 messages can be read\n")
        self.assertIn("1 more lack their content, or where they go\n  01ABCDEFGH000001", result.stderr)
        self.assertIn("holds no queue", self.run_command("queue", "salvage", str(self.folder), code=1).stderr)
