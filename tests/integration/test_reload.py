"""SIGHUP: a right configuration is taken while mail goes on, a wrong one is refused with its reasons."""

from __future__ import annotations

import os
import signal
import smtplib
from typing import Any

from mailgw.develop.sink import Manners
from tests.integration.world import GTUBE, GatewayTestCase, in_thread, send

MESSAGE = f"From: a@sender.test\r\nSubject: x\r\n\r\n{GTUBE}\r\n".encode()
TEST = f"expect score > 9\n---\nFrom: a@sender.test\nSubject: x\n\n{GTUBE}\n"


class ReloadTests(GatewayTestCase):
    async def begin(self, **settings: Any) -> None:
        await self.make_world(Manners())
        await self.start_gateway(level="info", **settings)

    async def reload(self, event: str) -> dict[str, Any]:
        seen = len(self.gateway.events)
        os.kill(self.gateway.pid, signal.SIGHUP)
        await self.until(lambda: any(one.get("event") == event for one in self.gateway.events[seen:]))
        return next(one for one in self.gateway.events[seen:] if one.get("event") == event)

    async def send(self) -> None:
        await in_thread(send, self.gateway.ports["mx"], "a@sender.test", ["alice@example.test"], MESSAGE)

    async def test_new_weights_hold_from_then_on(self) -> None:
        await self.begin()
        gateway = self.gateway
        await self.send()
        await self.until(lambda: len(gateway.folder("alice", ".Spam")) == 1)
        (gateway.etc / "filters.toml").write_text("[scores]\nGTUBE = 0.5\n")
        event = await self.reload("reloaded")
        self.assertEqual(event["waiting"], [])
        await self.send()
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        (gateway.etc / "filters.toml").write_text('[rules]\nGTUBE = "reject"\n')
        await self.reload("reloaded")
        with self.assertRaises(smtplib.SMTPDataError):
            await self.send()

    async def test_a_wrong_file_is_refused_and_the_old_one_stays(self) -> None:
        await self.begin()
        (self.gateway.etc / "filters.toml").write_text("[scores]\nGTUBE = 0.5\nGTUB = 1\n")
        event = await self.reload("reload_refused")
        self.assertIn("filters.toml:3: scores.GTUB: nothing states this symbol", event["problem"])
        await self.send()
        await self.until(lambda: len(self.gateway.folder("alice", ".Spam")) == 1)

    async def test_one_that_fails_its_own_tests_is_refused(self) -> None:
        await self.begin()
        (self.gateway.etc / "tests").mkdir()
        (self.gateway.etc / "tests" / "gtube.eml").write_text(TEST)
        await self.reload("reloaded")
        (self.gateway.etc / "filters.toml").write_text("[scores]\nGTUBE = 0.5\n")
        event = await self.reload("reload_refused")
        self.assertIn("gtube.eml:1: expected score > 9, got", event["problem"])
        await self.send()
        await self.until(lambda: len(self.gateway.folder("alice", ".Spam")) == 1)

    async def test_what_needs_a_restart_is_named(self) -> None:
        await self.begin()
        configuration = self.gateway.etc / "mailgw.toml"
        configuration.write_text(configuration.read_text() + "[trace]\nspam_fields = false\n[queue]\nconcurrency = 7\n")
        event = await self.reload("reloaded")
        self.assertEqual(event["waiting"], ["queue.concurrency"])
        await self.send()
        await self.until(lambda: len(self.gateway.folder("alice", ".Spam")) == 1)
        self.assertNotIn(b"X-Spam-Flag", self.gateway.folder("alice", ".Spam")[0])
