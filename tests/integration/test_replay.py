"""`mailgw replay` and `promote` on the history of a running gateway."""

from __future__ import annotations

import json

from tests.integration.mailgw_command import run_mailgw
from tests.integration.world import GTUBE, GatewayTestCase, in_thread, send

SPAM = f"From: a@sender.test\r\nSubject: buy\r\n\r\n{GTUBE}\r\n".encode()
HAM = b"From: a@sender.test\r\nSubject: lunch\r\n\r\nAt noon?\r\n"


class ReplayTests(GatewayTestCase):
    async def command(self, *arguments: str, code: int = 0) -> str:
        return await in_thread(lambda: run_mailgw(self.gateway, *arguments, code=code))

    async def begin(self) -> None:
        await self.make_world()
        await self.start_gateway({"aliases": "postmaster@example.test: alice@example.test\n"}, level="info")
        for message in (SPAM, HAM):
            await in_thread(send, self.gateway.ports["mx"], "a@sender.test", ["alice@example.test"], message)
        await self.until(lambda: len(self.gateway.folder("alice")) == len(self.gateway.folder("alice", ".Spam")) == 1)
        await self.gateway.stop()

    async def test_what_other_weights_would_have_done(self) -> None:
        await self.begin()
        self.assertIn("0 of 2 messages would go another way", await self.command("replay", "--since", "1h"))
        other = self.gateway.etc / "other.toml"
        other.write_text("[scores]\nGTUBE = 0.5\n")
        output = await self.command("replay", "--filters", str(other))
        for text in ("1 of 2 messages would go another way", "spam -> inbox", "buy"):
            self.assertIn(text, output)
        self.assertNotIn("lunch", output)
        data = json.loads(await self.command("replay", "--filters", str(other), "--json"))
        self.assertEqual((data["judged"], data["changed"], data["kinds"]), (2, 1, {"spam -> inbox": 1}))
        self.assertIn("more than 0", await self.command("replay", "--filters", str(other), "--fail-above", "0", code=1))
        await self.command("replay", "--filters", str(other), "--fail-above", "1")
        other.write_text("[scores]\nGTUB = 0.5\n")
        self.assertIn("other.toml:2: scores.GTUB", await self.command("replay", "--filters", str(other), code=1))

    async def test_a_message_becomes_a_test(self) -> None:
        await self.begin()
        (line,) = (await self.command("trace", "--json", "--subject", "buy")).splitlines()
        name = json.loads(line)["id"]
        self.assertIn("is written", await self.command("promote", name))
        self.assertIn("no errors", await self.command("check"))
        self.assertIn("File exists", await self.command("promote", name, code=1))
        (self.gateway.etc / "filters.toml").write_text("[scores]\nGTUBE = 0.5\n")
        self.assertIn("expected verdict spam, got inbox", await self.command("check", code=1))
        text = await self.command("promote", name, "--expect", "inbox", "--output", "-")
        self.assertIn("expect verdict inbox\n", text)
        message = self.gateway.etc / "buy.eml"
        message.write_bytes(SPAM)
        (self.gateway.etc / "tests" / f"{name}.eml").unlink()
        await self.command("promote", name, "--file", str(message), "--expect", "inbox")
        self.assertIn("no errors", await self.command("check"))
        self.assertIn("not here any more", await self.command("promote", name, "--message", code=1))
