"""STARTTLS on a real connection: what was said in clear counts for nothing behind the handshake (RFC 3207 4.2)."""

from __future__ import annotations

import smtplib

from tests.integration.gateway import PASSWORD
from tests.integration.world import GatewayTestCase, in_thread, unverified


def conversation(port: int) -> list[int]:
    """Begin a transaction in clear, and try to end it under TLS. Give the codes of the replies behind the handshake."""
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=60) as client:
        client.ehlo()
        for line in ("MAIL FROM:<evil@sender.test>", "RCPT TO:<alice@example.test>"):
            client.docmd(line)
        client.starttls(context=unverified())
        lines = ("RCPT TO:<bob@example.test>", "DATA", "MAIL FROM:<evil@sender.test>")
        return [client.docmd(line)[0] for line in lines]


def login_twice(port: int) -> list[int]:
    """Log in, and ask for TLS again."""
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=60) as client:
        client.starttls(context=unverified())
        client.login("alice@example.test", PASSWORD)
        return [client.docmd(line)[0] for line in ("STARTTLS", "NOOP")]


class StartTlsTests(GatewayTestCase):
    async def setUp(self) -> None:
        await self.make_world()
        await self.start_gateway()

    async def test_the_state_is_forgotten(self) -> None:
        self.assertEqual(await in_thread(conversation, self.gateway.ports["mx"]), [503, 503, 503])

    async def test_there_is_no_tls_within_tls(self) -> None:
        self.assertEqual(await in_thread(login_twice, self.gateway.ports["submission"]), [503, 250])
