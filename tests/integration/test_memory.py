"""What is refused, or never read, leaves nothing behind: no file, no memory."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from tests.integration.gateway import Gateway
from tests.integration.world import GTUBE, GatewayTestCase, in_thread, send

MEGABYTE = 1024 * 1024
SIZE = 25 * MEGABYTE
TIMES = 6
# What the process may grow by after a first message of the kind: less than one message.
BOUND = 20 * MEGABYTE
_LINE = b"x" * 998 + b"\r\n"
BODY = _LINE * (SIZE // len(_LINE))


def refused(port: int, first: bytes, times: int) -> list[bytes]:
    """Send a message of 25 MB, so many times in one session; give the answers to the final dot."""
    message = b"From: a@sender.test\r\nSubject: large\r\n\r\n" + first + b"\r\n" + BODY + b".\r\n"
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, connection.makefile("rb") as file:
        file.readline()
        connection.sendall(b"HELO client.test\r\n")
        file.readline()
        for _ in range(times):
            for command in (b"MAIL FROM:<a@sender.test>", b"RCPT TO:<alice@example.test>", b"DATA"):
                connection.sendall(command + b"\r\n")
                file.readline()
            connection.sendall(message)
            answers.append(file.readline())
    return answers


def never_read(port: int, at_most: int, patience: float) -> int:
    """Send EHLO for ever, and read no answer; give how many octets were taken before nothing more was for a while."""
    taken = 0
    with socket.socket() as connection:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, 8192)
        connection.connect(("127.0.0.1", port))
        connection.setblocking(False)
        while taken < at_most and select.select((), (connection,), (), patience)[1]:
            taken += connection.send(b"EHLO a\r\n" * 512)
    return taken


class MemoryTests(GatewayTestCase):
    if not os.path.exists("/proc/self/statm"):
        skip = "there is no /proc, which tells the memory of a process"

    async def refused_many_times(self, gateway: Gateway, first: bytes, answer: bytes) -> None:
        port = gateway.ports["mx"]
        self.assertEqual((await in_thread(refused, port, first, 2))[0][:3], answer)
        before = gateway.rss
        answers = await in_thread(refused, port, first, TIMES)
        self.assertEqual({line[:3] for line in answers}, {answer}, answers)
        self.assertEqual(len(answers), TIMES)
        await self.until(lambda: gateway.rss - before < BOUND)
        self.assertEqual(self.contents(gateway), [])
        self.assertLess(sum(path.stat().st_size for path in gateway.state.rglob("*")), MEGABYTE)

    async def test_messages_over_the_limit(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway(level="info", more=f"[limits]\nmessage_size = {SIZE - MEGABYTE}")
        await self.refused_many_times(gateway, b"", b"552")

    async def test_messages_that_are_rejected(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway({"filters.toml": '[rules]\nGTUBE = "reject"\n'}, level="info")
        await self.refused_many_times(gateway, GTUBE.encode(), b"554")

    async def test_a_client_that_hangs_up_in_the_middle(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway(level="debug")

        def hang_up() -> None:
            with socket.create_connection(("127.0.0.1", gateway.ports["mx"]), timeout=60) as connection:
                for command in (
                    b"HELO c",
                    b"MAIL FROM:<a@sender.test>",
                    b"RCPT TO:<alice@example.test>",
                    b"DATA",
                ):
                    connection.recv(1000)
                    connection.sendall(command + b"\r\n")
                connection.recv(1000)
                connection.sendall(BODY[:MEGABYTE])

        for _ in range(3):
            await in_thread(hang_up)
        await self.until(lambda: len([event for event in gateway.events if event.get("event") == "session_ended"]) == 3)
        await self.until(lambda: self.contents(gateway) == [])

    async def test_a_large_message_that_was_delivered_leaves_no_file(self) -> None:
        """The content stands there while it waits, and no longer."""
        await self.make_world(Manners(replies={"rcpt": Reply.of(450, "4.2.0", "later")}))
        gateway = await self.start_gateway(more="[queue]\nretry = [1.0]")
        message = b"Subject: x\r\n\r\n" + BODY[:MEGABYTE]
        await in_thread(
            lambda: send(gateway.ports["submission"], "alice@example.test", ["d@outside.test"], message, tls=True)
        )
        await gateway.wait_for(event="delayed")
        self.assertEqual(len(self.contents(gateway)), 1)
        self.sink.manners = Manners()
        await self.until(lambda: len(self.sink.received) == 1)
        await self.until(lambda: self.contents(gateway) == [])

    async def test_replies_that_nobody_reads(self) -> None:
        """They piled up in memory as long as the client went on."""
        await self.make_world()
        # No limit ends the session: what holds the client back is that it does not read.
        gateway = await self.start_gateway(level="info", more="[limits]\nidle_commands = 100000000")
        before = gateway.rss
        taken = await in_thread(never_read, gateway.ports["mx"], 16 * MEGABYTE, 2.0)
        self.assertLess(taken, 16 * MEGABYTE, "the gateway read on")
        self.assertLess(gateway.rss - before, BOUND)
        # It has time for others.
        await in_thread(
            send, gateway.ports["mx"], "a@sender.test", ["alice@example.test"], b"From: a@sender.test\r\n\r\nbody\r\n"
        )
        await self.until(lambda: len(gateway.folder("alice")) == 1)

    def contents(self, gateway: Gateway) -> list[Path]:
        return list((gateway.state / "queue" / "content").iterdir())
