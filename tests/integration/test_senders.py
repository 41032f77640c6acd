"""What a running gateway remembers of senders: who came before, and whom our people wrote to."""

from __future__ import annotations

import smtplib

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.integration.world import GatewayTestCase, in_thread, send

DOUBTFUL = b"From: eve@forged.test\r\nSubject: offer\r\n\r\nBuy now.\r\n"
ALICE, ANN = "alice@example.test", "ann@sender.test"


class SendersTests(GatewayTestCase):
    async def test_what_is_doubtful_comes_again(self) -> None:
        await self.make_world()
        filters = "[thresholds]\ngreylist = 0.5\nspam = 14\n[greylisting]\ndelay = 1\n"
        gateway = await self.start_gateway({"filters.toml": filters})
        for _ in range(2):  # too early the second time as well
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                await in_thread(send, gateway.ports["mx"], "eve@forged.test", [ALICE], DOUBTFUL)
            self.assertEqual(refused.exception.smtp_code, 451)
            self.assertIn(b"Greylisted, please try again in 1 minute", refused.exception.smtp_error)
        await gateway.stop()
        await gateway.start()  # it stands in a file
        await deferLater(reactor, 1.0)
        await in_thread(send, gateway.ports["mx"], "eve@forged.test", [ALICE], DOUBTFUL)
        await self.until(lambda: bool(gateway.folder("alice")))

    async def test_whom_our_people_write_to(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        question = (
            b"From: alice@example.test\r\nMessage-ID: <q1@example.test>\r\nSubject: a question\r\n\r\nHow much?\r\n"
        )
        await in_thread(lambda: send(gateway.ports["submission"], ALICE, [ANN], question, tls=True))
        answer = self.signed(f"From: {ANN}\nSubject: Re: a question\nIn-Reply-To: <q1@example.test>\n\nThat much.\n")
        await gateway.wait_for(event="accepted", identity=ALICE)
        await gateway.stop()
        await gateway.start()  # what was noted is written by then
        await in_thread(send, gateway.ports["mx"], ANN, [ALICE], answer)
        accepted = await gateway.wait_for(event="accepted", sender=ANN)
        self.assertIn("KNOWN_CORRESPONDENT", accepted["symbols"])
        self.assertIn("REPLY_TO_OUR_MAIL", accepted["symbols"])
