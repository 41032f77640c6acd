"""DMARC in a running gateway: the result in what is delivered, the refusal, the exception for a list."""

from __future__ import annotations

import smtplib

from tests.integration.world import GatewayTestCase, in_thread, send

ZONE = {
    "_dmarc.sender.test": {"TXT": ["v=DMARC1; p=reject; np=reject"]},
    "_dmarc.protected.test": {"TXT": ["v=DMARC1; p=reject"]},
}


def text(author: str) -> str:
    return (
        f"From: Carol <{author}>\nTo: alice@example.test\nSubject: hello\nDate: Mon, 05 Jan 2026 10:00:00 +0000\n"
        "Message-ID: <1@sender.test>\n\nHello Alice.\n"
    )


class DmarcTests(GatewayTestCase):
    async def start(self, filters: str = "", more: str = "") -> None:
        await self.make_world(zone=ZONE)
        await self.start_gateway({"filters.toml": filters}, more=more)

    async def send(self, message: bytes, sender: str = "carol@sender.test") -> None:
        await in_thread(send, self.gateway.ports["mx"], sender, ["alice@example.test"], message)

    async def results(self, folder: str = "") -> list[str]:
        """Wait for a delivery; give the lines of our Authentication-Results."""
        await self.gateway.wait_for(event="delivered")
        (message,) = self.gateway.folder("alice", folder)
        field = message.partition(b"Authentication-Results:")[2].decode().split("\n")
        return [line.strip().rstrip(";") for line in field if line.startswith(" ")]

    async def test_a_pass(self) -> None:
        await self.start()
        await self.send(self.signed(text("carol@sender.test")), "")
        self.assertIn("dmarc=pass header.from=sender.test policy.dmarc=reject", await self.results())

    async def test_a_fail_goes_to_the_spam_folder(self) -> None:
        await self.start()
        await self.send(self.signed(text("ceo@protected.test")))
        results = await self.results(".Spam")
        self.assertIn("dmarc=fail header.from=protected.test policy.dmarc=reject", results)

    async def test_a_fail_is_refused_where_the_postmaster_wants_it(self) -> None:
        await self.start('[rules]\nDMARC_FAIL_REJECT = "reject"\n')
        with self.assertRaises(smtplib.SMTPDataError) as caught:
            await self.send(self.signed(text("ceo@nowhere.protected.test")))
        self.assertEqual(caught.exception.smtp_code, 550)
        self.assertRegex(caught.exception.smtp_error, rb"5\.7\.26 .*DMARC.* \(ref ")
        refused = await self.gateway.wait_for(event="refused")
        self.assertIn("DMARC_FAIL_REJECT", refused["symbols"])

    async def test_a_trusted_list_is_excepted(self) -> None:
        await self.start('[rules]\nDMARC_FAIL_REJECT = "reject"\n[dmarc]\ntrusted_forwarders = ["sender.test"]\n')
        await self.send(self.signed(text("ceo@protected.test")))
        results = " ".join(await self.results())
        self.assertIn('reason="excepted by the DKIM signature of sender.test"', results)
        accepted = await self.gateway.wait_for(event="accepted")
        self.assertIn("DMARC_EXCEPTION", accepted["symbols"])

    async def test_mail_of_our_users_is_not_checked(self) -> None:
        await self.start('[rules]\nDMARC_FAIL_REJECT = "reject"\n', more="[submission]\ncheck_senders = false\n")
        message = text("ceo@protected.test").replace("\n", "\r\n").encode()
        port = self.gateway.ports["submission"]
        await in_thread(lambda: send(port, "alice@example.test", ["alice@example.test"], message, tls=True))
        await self.gateway.wait_for(event="delivered")
        self.assertEqual([name for name, _ in self.dns.queries if name.startswith("_dmarc")], [])
