"""BDAT and LMTP against a real gateway, up to the folder and the next hop."""

from __future__ import annotations

import shutil
import smtplib

from tests.integration.gateway import PASSWORD
from tests.integration.world import GatewayTestCase, in_thread, swaks, unverified

HEADER = b"From: a@sender.test\r\nTo: x@example.test\r\nSubject: chunks\r\nMessage-ID: <chunks@sender.test>\r\n\r\n"
BODY = b".\r\n..\r\nQUIT\r\n" + b"A line of the message that is sent in chunks.\r\n" * 8000 + b".\r\n"
LMTP = """
[listeners.lmtp]
addresses = ["127.0.0.1:0"]
kind = "lmtp"
tls = "starttls"
"""


def chunked(client: smtplib.SMTP, sender: str, recipient: str, message: bytes, sizes: list[int]) -> list[int]:
    """Send a message by BDAT, all chunks at once; give the codes of the replies."""
    codes = [client.mail(sender)[0], client.rcpt(recipient)[0]]
    sent = b""
    for size in sizes:
        chunk, message = message[:size], message[size:]
        sent += b"BDAT %d\r\n%b" % (len(chunk), chunk)
    client.send(sent + b"BDAT %d LAST\r\n%b" % (len(message), message))
    return codes + [client.getreply()[0] for _ in range(len(sizes) + 1)]


class ChunkingTests(GatewayTestCase):
    async def setUp(self) -> None:
        await self.make_world()
        await self.start_gateway(more=LMTP)

    async def test_a_large_message_in_chunks_reaches_the_folder(self) -> None:
        def session() -> list[int]:
            with smtplib.SMTP("127.0.0.1", self.gateway.ports["mx"], "mail.sender.test", timeout=60) as client:
                client.ehlo()
                assert client.has_extn("chunking")
                return chunked(client, "a@sender.test", "alice@example.test", HEADER + BODY, [1, 0, 70_000, 7, 200_000])

        self.assertEqual(await in_thread(session), [250] * 8)
        await self.until(lambda: bool(self.gateway.folder("alice")))
        (message,) = self.gateway.folder("alice")
        self.assertEqual(message.partition(b"\n\n")[2], BODY.replace(b"\r\n", b"\n"))

    async def test_what_came_in_chunks_goes_on_by_data_as_one_message(self) -> None:
        def session() -> list[int]:
            port = self.gateway.ports["submission"]
            with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=60) as client:
                client.starttls(context=unverified())
                client.login("alice@example.test", PASSWORD)
                return chunked(client, "alice@example.test", "dave@outside.test", HEADER + BODY, [len(HEADER) + 1])

        self.assertEqual(await in_thread(session), [250] * 4)
        await self.until(lambda: bool(self.sink.received))
        (received,) = self.sink.received
        self.assertEqual(received.content.partition(b"\r\n\r\n")[2], BODY)

    async def test_a_refused_chunk_keeps_the_stream_in_step(self) -> None:
        def session() -> list[int]:
            with smtplib.SMTP("127.0.0.1", self.gateway.ports["mx"], "mail.sender.test", timeout=60) as client:
                client.ehlo()
                smuggled = b"x\n.\nMAIL FROM:<smuggled@sender.test>\r\n"
                codes = chunked(client, "a@sender.test", "alice@example.test", smuggled + BODY, [len(smuggled)])
                return [*codes, *chunked(client, "a@sender.test", "alice@example.test", HEADER + b"good\r\n", [])]

        self.assertEqual(await in_thread(session), [250, 250, 554, 503, 250, 250, 250])
        await self.until(lambda: bool(self.gateway.folder("alice")))
        (message,) = self.gateway.folder("alice")
        self.assertIn(b"\n\ngood\n", message)

    async def test_lmtp_by_swaks(self) -> None:
        if shutil.which("swaks") is None:
            self.skipTest("swaks is not installed")
        recipients = "alice@example.test,nobody@example.test,bob@example.test"
        text, _ = await swaks(
            *("--server", f"127.0.0.1:{self.gateway.ports['lmtp']}", "--helo", "mail.sender.test"),
            *("--protocol", "LMTPS", "--from", "a@sender.test", "--to", recipients),
        )
        self.assertEqual(text.count("OK: queued as"), 2, text)
        self.assertIn("550 5.1.1", text)
        await self.until(lambda: bool(self.gateway.folder("alice") and self.gateway.folder("bob")))
        (message,) = self.gateway.folder("bob")
        self.assertIn(b" with LMTPS id ", message)
        self.assertNotIn(b"spf=", message)
