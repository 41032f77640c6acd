"""The disk is full in the middle: of a content, a commit, a settlement, a report. The client hears it, nothing stays
half done, nothing comes twice, and all goes on when there is space."""

from __future__ import annotations

import os
import re
import shutil
import smtplib
import subprocess
from pathlib import Path

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from mailgw.queue.listing import Listing
from tests.integration.gateway import Gateway
from tests.integration.world import GatewayTestCase, in_thread, send

SIZE = "16m"
SLOW = 0.3
"""Seconds before each reply of the sink: time to fill the disk while it is awaited."""
_MARK = re.compile(rb"X-Mark: (\S+)")
CONFIG = """
[domains."routed.test"]
deliver = "route:sink"

[routes.sink]
hosts = ["127.0.0.1:{port}"]

[queue]
minimum_free = 0
"""
GONE = Reply.of(550, "5.1.1", "nobody of that name")


class FullDiskTests(GatewayTestCase):
    """The gateway's state is on a file system of its own."""

    if os.geteuid() != 0 or shutil.which("mount") is None:
        skip = "mounting a tmpfs needs root and mount"

    async def start_on_small_disk(self, manners: Manners) -> None:
        await self.make_world(manners)
        self.gateway = Gateway(self.mktemp(), dns=self.dns_port, more=CONFIG.format(port=self.sink_port))
        self.gateway.settings["relay_port"] = self.sink_port
        state = self.gateway.state
        state.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "mailgw-test", str(state)]
        mounted = subprocess.run(command, capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(state)], check=True)
        self.gateway.write_configuration()
        self.ballast = state / "ballast"
        self.addCleanup(self.coroutine, self.gateway.kill)
        await self.gateway.start()

    def fill(self, leave: int = 0) -> None:
        """Fill the disk but for some octets."""
        with self.ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
            if leave:
                file.truncate(max(0, file.tell() - leave))

    async def offer(self, mark: str, recipient: str = "anyone@routed.test", size: int = 1000) -> None:
        message = b"From: a@sender.test\r\nSubject: x\r\nX-Mark: %s\r\n\r\n" % mark.encode() + (b"x" * 70 + b"\r\n") * (
            size // 72
        )
        await in_thread(send, self.gateway.ports["mx"], "a@sender.test", [recipient], message)

    async def refused(self, mark: str, size: int) -> smtplib.SMTPDataError:
        try:
            await self.offer(mark, size=size)
        except smtplib.SMTPDataError as error:
            return error
        raise AssertionError("it was taken")

    def queued(self) -> int:
        with Listing(self.gateway.state / "queue") as listing:
            return listing.size().messages

    def contents(self) -> list[Path]:
        return list((self.gateway.state / "queue" / "content").iterdir())

    def marks(self) -> list[str]:
        found = (_MARK.search(message.content) for message in self.sink.received)
        return sorted(match[1].decode() for match in found if match)

    async def test_in_the_middle_of_a_content_and_of_a_commit(self) -> None:
        await self.start_on_small_disk(Manners())
        for mark, size, leave in (("content", 3_000_000, 1_000_000), ("commit", 60_000, 0)):
            self.fill(leave)
            error = await self.refused(mark, size)
            self.assertEqual((error.smtp_code, error.smtp_error[:5]), (452, b"4.3.1"))
            self.assertEqual((self.queued(), self.contents()), (0, []))
            self.ballast.unlink()
            await self.offer(mark, size=size)
            await self.until(lambda: self.queued() == 0)
        self.assertEqual(self.marks(), ["commit", "content"])

    async def test_in_the_middle_of_a_settlement(self) -> None:
        """The next hop's reply cannot be written: it is kept until it can, and nothing is sent again."""
        await self.start_on_small_disk(Manners(delay=SLOW))
        await self.offer("settled", size=60_000)
        self.fill()
        await self.gateway.wait_for(event="settle_failed")
        self.assertEqual(self.queued(), 1)
        self.ballast.unlink()
        await self.until(lambda: self.queued() == 0)
        self.assertEqual(self.marks(), ["settled"])

    async def test_in_the_middle_of_a_report(self) -> None:
        """The report comes with the end of the message, once."""
        await self.start_on_small_disk(Manners(delay=SLOW, recipients={"gone@routed.test": GONE}))
        await self.offer("reported", "gone@routed.test")
        self.fill()
        await self.gateway.wait_for(event="settle_failed")
        self.assertEqual(self.marks(), [])
        self.sink.manners = Manners()
        self.ballast.unlink()
        await self.until(lambda: self.queued() == 0)
        self.assertEqual(self.marks(), ["reported"])
        self.assertIsNone(self.sink.received[0].reverse_path)

    async def test_killed_while_a_settlement_waits_for_space(self) -> None:
        await self.start_on_small_disk(Manners(delay=SLOW))
        await self.offer("in-flight", size=60_000)
        self.fill()
        await self.gateway.wait_for(event="settle_failed")
        await self.gateway.kill()
        self.sink.manners = Manners()
        self.ballast.unlink()
        await self.gateway.start()
        await self.until(lambda: self.queued() == 0)
        self.assertEqual(self.marks(), ["in-flight", "in-flight"])  # no outcome of it could be written
