"""From a Message-ID one can follow a message the whole way in the log, and the report about it too."""

from __future__ import annotations

import smtplib
from typing import Any

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from tests.integration.gateway import Gateway
from tests.integration.world import GatewayTestCase, in_thread, send

MESSAGE = b"From: alice@example.test\r\nMessage-ID: <followed@example.test>\r\nSubject: x\r\n\r\nbody\r\n"
ALIASES = "team@example.test: bob@example.test, relayed@outside.test\n"
MANNERS = Manners(
    recipients={
        "gone@outside.test": Reply.of(550, "5.1.1", "nobody of that name"),
        "later@outside.test": Reply.of(450, "4.2.0", "come back"),
    }
)

Event = dict[str, Any]


class Follower:
    """Looks into the log as a postmaster would: by one value at a time."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def events(self, name: str, **fields: object) -> list[Event]:
        wanted = {"event": name, **fields}
        return [event for event in self._gateway.events if all(event.get(key) == wanted[key] for key in wanted)]

    def recipients(self, name: str, transaction: str) -> list[str]:
        return sorted(event["recipient"] for event in self.events(name, transaction=transaction))


class FollowTests(GatewayTestCase):
    async def test_from_the_message_id_to_every_end(self) -> None:
        await self.make_world(MANNERS)
        gateway = await self.start_gateway({"aliases": ALIASES}, level="info")
        recipients = ["team@example.test", "gone@outside.test", "later@outside.test"]
        await in_thread(lambda: send(gateway.ports["submission"], "alice@example.test", recipients, MESSAGE, tls=True))
        log = Follower(gateway)
        accepted = await gateway.wait_for(event="accepted", message_id="<followed@example.test>")
        transaction, session = accepted["transaction"], accepted["session"]
        self.assertEqual(accepted["recipients"], recipients)
        self.assertEqual(accepted["identity"], "alice@example.test")
        self.assertEqual(len(log.events("authenticated", session=session)), 1)

        reported = await gateway.wait_for(event="report", transaction=transaction)
        report = reported["report"]
        await gateway.wait_for(event="delivered", transaction=report)
        await self.until(lambda: len(log.events("delivered", transaction=transaction)) == 2)
        await gateway.wait_for(event="delayed", transaction=transaction)
        self.assertEqual(log.recipients("delivered", transaction), ["bob@example.test", "relayed@outside.test"])
        self.assertEqual(log.recipients("failed", transaction), ["gone@outside.test"])
        self.assertEqual(log.recipients("delayed", transaction), ["later@outside.test"])
        self.assertEqual(log.recipients("delivered", report), ["alice@example.test"])
        for event in gateway.events:
            if event.get("transaction") in (transaction, report):
                self.assertEqual(event["session"], session, event)
                self.assertIn(event["transaction"], event["message"])

    async def test_each_end_says_where_and_why(self) -> None:
        await self.make_world(MANNERS)
        gateway = await self.start_gateway(level="info")
        recipients = ["bob@example.test", "relayed@outside.test", "gone@outside.test", "later@outside.test"]
        await in_thread(lambda: send(gateway.ports["submission"], "alice@example.test", recipients, MESSAGE, tls=True))
        ends = [
            await gateway.wait_for(event=name, recipient=recipient)
            for name, recipient in zip(("delivered", "delivered", "failed", "delayed"), recipients, strict=True)
        ]
        folder, relayed, failed, delayed = ends
        self.assertEqual(folder["destination"], "maildir:bob@example.test/inbox")
        self.assertEqual(relayed["destination"], "relay:mx:outside.test")
        self.assertIn("mx.outside.test", relayed["remote"])
        self.assertIn("nobody of that name", failed["reason"])
        self.assertEqual(failed["status"], "5.1.1")
        self.assertIn("come back", delayed["reason"])
        self.assertGreater(delayed["due"], 0.0)

    async def test_what_is_refused_can_be_found_too(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway(level="info", more="[limits]\nmessage_size = 100000\nheader_fields = 2")
        with self.assertRaises(smtplib.SMTPDataError):
            await in_thread(send, gateway.ports["mx"], "a@sender.test", ["alice@example.test"], MESSAGE)
        refused = await gateway.wait_for(event="refused", message_id="<followed@example.test>")
        self.assertTrue(refused["transaction"])
        self.assertTrue(refused["session"])
        self.assertIn("5.6.0", refused["reply"])
