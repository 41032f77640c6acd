"""Forwarding outside: the next hop sees a return path of ours, and a report to it finds its way to the sender."""

from __future__ import annotations

import smtplib

from mailgw.mail.address import Mailbox
from tests.integration.world import GatewayTestCase, in_thread, send


class ForwardingTests(GatewayTestCase):
    async def test_there_and_back(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway({"aliases": "team@example.test: zoe@outside.test\n"})
        message = self.signed("From: ann@sender.test\nSubject: hello\n\nHello.\n")
        await in_thread(send, gateway.ports["mx"], "ann@sender.test", ["team@example.test"], message)
        await self.until(lambda: bool(self.sink.received))
        forwarded = self.sink.received[0]
        path = str(forwarded.reverse_path)
        self.assertRegex(path, "^SRS0=.{8}=..=sender.test=ann@example.test$")
        self.assertEqual(forwarded.recipients, (Mailbox("zoe", "outside.test"),))
        with self.assertRaises(smtplib.SMTPRecipientsRefused) as refused:
            await in_thread(send, gateway.ports["mx"], "eve@forged.test", [path], message)
        self.assertEqual(refused.exception.recipients[path][0], 550)
        report = b"Subject: Undelivered\r\nDate: Sat, 28 Nov 2026 02:00:00 +0000\r\n\r\nSorry.\r\n"
        await in_thread(send, gateway.ports["mx"], "", [path], report)
        await self.until(lambda: len(self.sink.received) == 2)
        self.assertIsNone(self.sink.received[1].reverse_path)
        self.assertEqual(self.sink.received[1].recipients, (Mailbox("ann", "sender.test"),))

    async def test_a_forged_return_path_opens_no_relay(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        forged = "SRS0=AAAAAAAA=AA=outside.test=victim@example.test"
        with self.assertRaises(smtplib.SMTPRecipientsRefused) as refused:
            await in_thread(send, gateway.ports["mx"], "", [forged], b"Subject: x\r\n\r\nx\r\n")
        self.assertEqual(refused.exception.recipients[forged][0], 550)
