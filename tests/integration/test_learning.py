"""A running gateway learns what its users move, and what it learned speaks in the next verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.task import deferLater

from tests.classifier.support import message
from tests.integration.mailgw_command import run_mailgw
from tests.integration.world import GTUBE, GatewayTestCase, in_thread, send

reactor: Any = installed_reactor

FILTERS = (
    "[greylisting]\nenabled = false\n[filters.classifier]\nminimum = 40\ninterval = 0.2\nlearn_from_verdicts = false\n"
)
GOOD = b"From: ann@sender.test\r\nSubject: lunch\r\n\r\nAt noon?\r\n"
BAD = f"From: win@sender.test\r\nSubject: prize\r\n\r\n{GTUBE}\r\n".encode()


class LearningTests(GatewayTestCase):
    async def receive(self, data: bytes) -> None:
        port = self.gateway.ports["mx"]
        await in_thread(lambda: send(port, "ann@sender.test", ["bob@example.test"], data))

    def names(self, folder: str, part: str) -> list[Path]:
        return sorted((self.gateway.mail / "example.test" / "bob" / folder / part).glob("*"))

    def move(self, path: Path, folder: str) -> None:
        """As a mail program does, by way of the IMAP server."""
        to = self.gateway.mail / "example.test" / "bob" / folder / "cur"
        to.mkdir(parents=True, exist_ok=True)
        path.rename(to / f"{path.name}:2,S")

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            await in_thread(lambda: run_mailgw(self.gateway, "learn", "--status", "--json"))
        )
        return found

    async def test_both_directions(self) -> None:
        await self.make_world()
        await self.start_gateway({"filters.toml": FILTERS})
        await self.receive(GOOD)
        await self.receive(BAD)
        await self.until(lambda: bool(self.names("", "new") and self.names(".Spam", "new")))
        (good,), (bad,) = self.names("", "new"), self.names(".Spam", "new")
        self.move(good, ".Spam")
        self.move(bad, "")
        first = await self.gateway.wait_for(event="trained")
        if first["moved"] == 1:  # a round came between the two
            await self.until(lambda: sum(e.get("event") == "trained" for e in self.gateway.events) == 2)
        found = await self.status()
        self.assertEqual((found["spam"], found["ham"], found["speaks"]), (1, 1, False))
        self.assertEqual({entry["source"] for entry in found["sources"]}, {"moved"})

    async def test_what_is_learned_beside_a_running_gateway_speaks(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway({"filters.toml": FILTERS})
        folder = gateway.directory / "taught"
        for kind in ("spam", "ham"):
            (folder / kind).mkdir(parents=True)
            for number in range(60):
                (folder / kind / str(number)).write_bytes(message(number, spam=kind == "spam"))
            output = await in_thread(run_mailgw, self.gateway, "learn", f"--{kind}", str(folder / kind))
            self.assertIn("60 learned", output)
        for number in range(1000, 1020):  # it looks for new weights once a second
            await self.receive(message(number, spam=True).replace(b"\n", b"\r\n"))
            if "CLASSIFIER_SPAM" in json.dumps(gateway.events):
                return
            await deferLater(reactor, 0.2)
        self.fail(f"what was learned is never stated; the log:\n{gateway.output}")
