"""A real Postfix as the sender and as the next hop."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage

from tests import postfix
from tests.integration.peers import AWKWARD, BODY, PostfixTestCase
from tests.integration.world import in_thread, send


class PostfixTests(PostfixTestCase):
    if postfix.absent():
        skip = postfix.absent()

    async def test_postfix_sends_to_us_pipelined_and_under_tls(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_postfix(
            relayhost=f"[127.0.0.1]:{gateway.ports['mx']}", smtp_tls_security_level="may", smtp_tls_loglevel="1"
        )
        await in_thread(send, port, "a@sender.test", ["alice@example.test", "bob@example.test"], AWKWARD)
        await self.until(lambda: bool(gateway.folder("alice") and gateway.folder("bob")))
        (message,) = gateway.folder("alice")
        self.assertEqual(message.partition(b"\n\n")[2], BODY.replace(b"\r\n", b"\n"))
        self.assertRegex(message, rb"from postfix\.test \(.*\[127\.0\.0\.1\]\)")
        self.assertIn(b"with ESMTPS id", message)
        accepted = await gateway.wait_for(event="accepted")
        self.assertEqual(accepted["recipients"], ["alice@example.test", "bob@example.test"])
        self.assertFalse({"EARLY_TALKER", "PIPELINING_WITHOUT_LEAVE"}.intersection(accepted["symbols"]))

    async def test_postfix_hears_our_refusals_and_keeps_what_is_temporary(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_postfix(relayhost=f"[127.0.0.1]:{gateway.ports['mx']}")
        await in_thread(send, port, "a@sender.test", ["nobody@example.test", "x@elsewhere.test"], AWKWARD)
        await self.until(lambda: self.log().count("status=bounced") >= 2)
        self.assertIn("550 5.1.1 <nobody@example.test> is unknown here", self.log())
        self.assertIn("550 5.7.1 <x@elsewhere.test> is not ours", self.log())

    async def test_we_send_to_postfix(self) -> None:
        """Postfix takes it with BODY=8BITMIME and gives it on to the sink unchanged."""
        await self.make_world()
        port = await self.start_postfix(relayhost=f"[127.0.0.1]:{self.sink_port}")
        gateway = await self.start_gateway(relay_port=port)
        await in_thread(
            lambda: send(gateway.ports["submission"], "alice@example.test", ["d@outside.test"], AWKWARD, tls=True)
        )
        await self.until(lambda: len(self.sink.received) == 1)
        (message,) = self.sink.received
        self.assertEqual(message.content.partition(b"\r\n\r\n")[2], BODY)
        self.assertIn("from=<alice@example.test>", self.log())
        delivered = await gateway.wait_for(event="delivered")
        self.assertIn("250 2.0.0 Ok: queued as", delivered["detail"])

    async def test_a_refusal_of_postfix_reaches_our_sender(self) -> None:
        await self.make_world()
        port = await self.start_postfix(mynetworks="192.0.2.0/24", smtpd_relay_restrictions="reject_unauth_destination")
        gateway = await self.start_gateway(relay_port=port)
        await in_thread(
            lambda: send(gateway.ports["submission"], "alice@example.test", ["d@outside.test"], AWKWARD, tls=True)
        )
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        self.assertIn(b"Relay access denied", gateway.folder("alice")[0])

    async def test_postfix_sends_to_an_internationalised_address(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway({"aliases": "jörg@example.test: alice@example.test\n"})
        port = await self.start_postfix(
            relayhost=f"[127.0.0.1]:{gateway.ports['mx']}", smtputf8_enable="yes", smtputf8_autodetect_classes="all"
        )
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@sender.test", "jörg@example.test", "grüße"
        message.set_content("Hallo")

        def submit() -> None:
            with smtplib.SMTP("127.0.0.1", port) as client:
                client.send_message(message, "a@sender.test", ["jörg@example.test"])

        await in_thread(submit)
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        self.assertIn("for <jörg@example.test>".encode(), gateway.folder("alice")[0])
        self.assertIn(b"with UTF8SMTP", gateway.folder("alice")[0])
