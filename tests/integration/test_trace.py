"""The history of a running gateway: `mailgw trace` follows a message to its last hop, `explain ID` says why."""

from __future__ import annotations

import json
import smtplib
from typing import Any

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from tests.integration.mailgw_command import run_mailgw
from tests.integration.world import GTUBE, GatewayTestCase, in_thread, send

MANNERS = Manners(recipients={"gone@outside.test": Reply(550, "5.1.1", ("nobody of that name",))})
MESSAGE = (
    b"From: alice@example.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <t1@example.test>\r\n\r\nhello\r\n"
)


class TraceTests(GatewayTestCase):
    def command(self, *arguments: str, code: int = 0) -> str:
        return run_mailgw(self.gateway, *arguments, code=code)

    async def lines(self, *arguments: str) -> list[dict[str, Any]]:
        output = await in_thread(self.command, "trace", "--json", *arguments)
        return [json.loads(line) for line in output.splitlines()]

    async def test_a_message_from_its_session_to_its_last_hops(self) -> None:
        await self.make_world(MANNERS)
        gateway = await self.start_gateway(level="info")
        recipients = ["bob@example.test", "fine@outside.test", "gone@outside.test"]
        await in_thread(lambda: send(gateway.ports["submission"], "alice@example.test", recipients, MESSAGE, tls=True))
        accepted = await gateway.wait_for(event="accepted", identity="alice@example.test")
        report = await gateway.wait_for(event="report")
        await gateway.wait_for(event="delivered", transaction=report["report"])
        await gateway.stop()

        (found,) = await self.lines("--subject", "grüße", "--from", "alice", "--since", "1h")
        self.assertEqual((found["id"], found["session"]), (accepted["transaction"], accepted["session"]))
        self.assertEqual((found["identity"], found["recipients"]), ("alice@example.test", recipients))
        fates = {fate["recipient"]: fate for fate in found["fates"]}
        self.assertEqual(fates["bob@example.test"]["destination"], "maildir:bob@example.test/inbox")
        self.assertEqual(fates["fine@outside.test"]["event"], "delivered")
        self.assertIn("mx.outside.test", fates["fine@outside.test"]["remote"])
        self.assertEqual(fates["gone@outside.test"]["event"], "failed")
        self.assertIn("nobody of that name", fates["gone@outside.test"]["detail"])
        self.assertEqual(found["reports"], [report["report"]])
        (about,) = await self.lines(report["report"])
        self.assertEqual((about["parent"], about["fates"][0]["event"]), (found["id"], "delivered"))

        page = await in_thread(self.command, "trace", "--message-id", "t1@example.test")
        for text in (found["id"], found["session"], "Grüße", "nobody of that name", "TLSv1.3"):
            self.assertIn(text, page)
        self.assertIn("no such message", await in_thread(lambda: self.command("trace", "--to", "nobody@x", code=1)))

    async def test_why_is_told_as_it_was_judged_then(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway({"filters.toml": "[scores]\nGTUBE = 50\n"}, level="info")
        message = f"From: a@sender.test\r\nSubject: buy\r\n\r\n{GTUBE}\r\n".encode()
        with self.assertRaises(smtplib.SMTPDataError):
            await in_thread(send, gateway.ports["mx"], "a@sender.test", ["alice@example.test"], message)
        refused = await gateway.wait_for(event="refused")
        await gateway.stop()
        (gateway.etc / "filters.toml").write_text("[scores]\nGTUBE = 1\n")
        page = await in_thread(self.command, "explain", refused["transaction"])
        self.assertIn("verdict  reject", page)
        self.assertIn("without GTUBE the verdict would have been inbox", page)
        data = json.loads(await in_thread(self.command, "explain", "--json", refused["transaction"].lower()))
        self.assertEqual((data["action"], data["lines"][0]["weight"]), ("reject", 50.0))
        self.assertEqual(data["recipients"], ["alice@example.test"])
        (found,) = await self.lines("--action", "reject")
        self.assertEqual(found["fates"], [])
        self.assertIn("is not in the history", await in_thread(lambda: self.command("explain", "0" * 16, code=1)))
