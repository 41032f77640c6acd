"""ARC in a running gateway: the result in what is delivered, and a list whose seal is trusted."""

from __future__ import annotations

from collections.abc import Sequence

from tests.integration.world import GatewayTestCase, in_thread, send
from tests.senderauth.sealing import seal
from tests.senderauth.signing import rsa_record

ZONE = {
    "_dmarc.protected.test": {"TXT": ["v=DMARC1; p=reject"]},
    "s1._domainkey.lists.example": {"TXT": [rsa_record()]},
}
POST = (
    b"From: Carol <carol@protected.test>\r\nTo: alice@example.test\r\nSubject: [list] hello\r\n"
    b"Date: Mon, 05 Jan 2026 10:00:00 +0000\r\nMessage-ID: <1@protected.test>\r\n\r\nHello Alice.\r\n"
)


class ArcTests(GatewayTestCase):
    async def deliver(self, content: bytes, sealers: Sequence[str], folder: str = "") -> str:
        """Send the message through a gateway that trusts the sealers. Give the fields in front of it, unfolded."""
        await self.make_world(zone=ZONE)
        await self.start_gateway({"filters.toml": f"[dmarc]\ntrusted_sealers = {list(sealers)}\n"})
        await in_thread(send, self.gateway.ports["mx"], "list@sender.test", ["alice@example.test"], content)
        await self.gateway.wait_for(event="delivered")
        (message,) = self.gateway.folder("alice", folder)
        return " ".join(message.partition(b"ARC-Seal:")[0].decode().split())

    async def test_a_trusted_seal_excuses_from_dmarc(self) -> None:
        head = await self.deliver(seal(POST), ["lists.example"])
        self.assertIn("arc=pass (i=1, sealed by lists.example) smtp.remote-ip=127.0.0.1 header.oldest-pass=0", head)
        self.assertIn('dmarc=fail reason="excepted by the ARC seal of lists.example"', head)

    async def test_another_seal_does_not(self) -> None:
        head = await self.deliver(seal(POST), ["other.example"], ".Spam")
        self.assertIn("arc=pass", head)
        self.assertNotIn("excepted", head)

    async def test_nor_does_a_broken_one(self) -> None:
        head = await self.deliver(seal(POST) + b"more\r\n", ["lists.example"], ".Spam")
        self.assertIn("arc=fail", head)
        self.assertNotIn("excepted", head)
