"""Held mail on a running gateway: it stays, is shown, goes on once when it is released, or is thrown away."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.mailgw_command import run_mailgw
from tests.integration.world import GTUBE, GatewayTestCase, in_thread, send

MESSAGE = f"From: alice@example.test\r\nSubject: buy now\r\n\r\n{GTUBE}\r\n".encode()
RECIPIENTS = ["bob@example.test", "x@outside.test"]


class QuarantineTests(GatewayTestCase):
    async def command(self, *arguments: str, code: int = 0) -> str:
        return await in_thread(lambda: run_mailgw(self.gateway, *arguments, code=code))

    async def held(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await self.command("quarantine", "list", "--json")).splitlines()]

    async def submit(self) -> str:
        port = self.gateway.ports["submission"]
        await in_thread(lambda: send(port, "alice@example.test", RECIPIENTS, MESSAGE, tls=True))
        held = await self.held()
        name: str = held[-1]["id"]
        return name

    def bought(self) -> list[bytes]:
        """The message in the folder of its recipient here; notices are there too."""
        return [message for message in self.gateway.folder("bob") if b"\nSubject: buy now" in message]

    async def test_released_it_is_delivered_once(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway(level="info")
        name = await self.submit()
        ((one,)) = [await self.held()]
        self.assertEqual((one[0]["recipients"], one[0]["identity"]), (RECIPIENTS, "alice@example.test"))
        self.assertIn("outbound_hold", one[0]["reason"])
        self.assertEqual(self.sink.received, [])
        page = await self.command("quarantine", "show", name)
        self.assertIn("GTUBE", page)
        self.assertIn("Subject: buy now", page)
        self.assertIn("would be released", await self.command("quarantine", "release", "--dry-run", name))
        self.assertEqual(len(await self.held()), 1)

        self.assertIn("1 messages released", await self.command("quarantine", "release", "--from", "alice"))
        await self.until(lambda: len(self.bought()) == 1 and len(self.sink.received) == 1)
        self.assertIn("not held", await self.command("quarantine", "release", name, code=1))
        self.assertEqual(await self.held(), [])
        await gateway.stop()
        self.assertEqual((len(self.bought()), len(self.sink.received)), (1, 1))
        (line,) = (await self.command("trace", "--json", name)).splitlines()
        events = [fate["event"] for fate in json.loads(line)["fates"]]
        self.assertEqual(sorted(events), ["delivered", "delivered", "released", "released"])

    async def test_its_sender_and_the_postmaster_are_told_once(self) -> None:
        await self.make_world()
        aliases = {"aliases": "postmaster@example.test: bob@example.test\n"}
        gateway = await self.start_gateway(aliases, level="info")
        name = await self.submit()
        await self.submit()
        await self.until(lambda: len(gateway.folder("alice")) == 1 and len(gateway.folder("bob")) == 1)
        (notice,) = gateway.folder("alice")
        for text in (b"Subject: Your message is held\n", name.encode(), b"buy now", b"Auto-Submitted: auto-generated"):
            self.assertIn(text, notice)
        self.assertIn(b"Return-Path: <>", notice)
        self.assertIn(b"A message of a user is held", gateway.folder("bob")[0])
        await gateway.stop()
        self.assertEqual((len(gateway.folder("alice")), len(gateway.folder("bob"))), (1, 1))

    async def test_deleted_it_is_gone_and_a_restart_keeps_what_is_held(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway(level="info", more="[queue]\ninline_size = 10")
        first, second = await self.submit(), await self.submit()
        self.assertIn("say which", await self.command("quarantine", "delete", code=2))
        self.assertIn("1 messages deleted", await self.command("quarantine", "delete", "--yes", first))
        await gateway.kill()
        self.assertEqual([one["id"] for one in await self.held()], [second])
        self.assertEqual([path.name for path in (gateway.state / "queue" / "content").iterdir()], [second])
        await self.command("quarantine", "release", second)  # while no gateway runs
        await gateway.start()
        await self.until(lambda: len(self.bought()) == 1)

    async def test_a_release_can_teach_the_classifier(self) -> None:
        await self.make_world()
        await self.start_gateway(level="info")
        name = await self.submit()
        self.assertIn("1 learned", await self.command("quarantine", "release", name, "--learn", "ham"))
        status = json.loads(await self.command("learn", "--status", "--json"))
        self.assertIn(1, status.values())

    async def test_when_its_time_is_over_it_is_thrown_away_and_the_log_says_so(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway(level="info", more="[quarantine]\nlifetime = 1.5")
        name = await self.submit()
        event = await gateway.wait_for(event="discarded", transaction=name)
        self.assertIn("nobody released it", event["reason"])
        await gateway.stop()
        self.assertEqual((await self.held(), self.bought()), ([], []))
