"""Internationalised mail (RFC 6531, RFC 6533) to a real Postfix, which takes it or does not."""

from __future__ import annotations

import email.policy
import smtplib
from email.message import EmailMessage
from typing import Any

from tests import postfix
from tests.integration.gateway import PASSWORD, Gateway
from tests.integration.peers import PostfixTestCase
from tests.integration.world import in_thread, unverified

JOERG = "jörg@outside.test"


class SmtpUtf8Tests(PostfixTestCase):
    if postfix.absent():
        skip = postfix.absent()

    async def start(self, **settings: str) -> Gateway:
        await self.make_world()
        port = await self.start_postfix(relayhost=f"[127.0.0.1]:{self.sink_port}", smtputf8_enable="yes", **settings)
        return await self.start_gateway(relay_port=port)

    async def submit(self, gateway: Gateway, recipient: str, subject: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "alice@example.test", "all@outside.test", subject
        message.set_content("Hallo")

        def work() -> Any:
            with smtplib.SMTP("127.0.0.1", gateway.ports["submission"]) as client:
                client.starttls(context=unverified())
                client.login("alice@example.test", PASSWORD)
                options = ["SMTPUTF8", "BODY=8BITMIME"]
                content = message.as_bytes(policy=email.policy.SMTPUTF8)
                client.sendmail("alice@example.test", [recipient], content, options)

        await in_thread(work)

    async def test_there(self) -> None:
        gateway = await self.start()
        await self.submit(gateway, JOERG, "grüße")
        await self.until(lambda: len(self.sink.received) == 1)
        (message,) = self.sink.received
        self.assertEqual([str(recipient) for recipient in message.recipients], [JOERG])
        self.assertIn("\r\nSubject: grüße\r\n".encode(), message.content)
        self.assertIn(b"with UTF8SMTPSA id", message.content)

    async def test_to_a_next_hop_that_takes_none(self) -> None:
        gateway = await self.start(smtpd_discard_ehlo_keywords="smtputf8,silent-discard")
        await self.submit(gateway, JOERG, "plain")
        await self.until(lambda: bool(gateway.folder("alice")))
        report = gateway.folder("alice")[0].decode()
        self.assertIn("Content-Type: message/global-delivery-status\n", report)
        self.assertIn(f"Final-Recipient: utf-8; {JOERG}\nAction: failed\nStatus: 5.6.7\n", report)
        self.assertIn("characters that the recipient's system cannot take", " ".join(report.split()))
        self.assertEqual(self.sink.received, [])

    async def test_a_domain_alone_needs_nothing_of_it(self) -> None:
        """It goes as A-labels (RFC 5890) to whoever takes no SMTPUTF8."""
        await self.make_world(zone={"xn--bcher-kva.test": {"MX": ["10 mx.outside.test."]}})
        port = await self.start_postfix(
            relayhost=f"[127.0.0.1]:{self.sink_port}", smtpd_discard_ehlo_keywords="smtputf8,silent-discard"
        )
        gateway = await self.start_gateway(relay_port=port)

        def work() -> Any:
            with smtplib.SMTP("127.0.0.1", gateway.ports["submission"]) as client:
                client.starttls(context=unverified())
                client.ehlo()
                client.login("alice@example.test", PASSWORD)
                client.mail("alice@example.test", ["SMTPUTF8"])
                client.rcpt("info@bücher.test")
                return client.data(b"Subject: x\r\n\r\nbody\r\n")

        self.assertEqual((await in_thread(work))[0], 250)
        await self.until(lambda: len(self.sink.received) == 1)
        (message,) = self.sink.received
        self.assertEqual([str(recipient) for recipient in message.recipients], ["info@xn--bcher-kva.test"])
