"""Test cases with a real Postfix or Exim beside the gateway."""

from __future__ import annotations

import datetime
import os
import shutil
import socket
import tempfile
from pathlib import Path

from mailgw.develop.certificate import make_certificate
from tests import exim, postfix
from tests.integration.world import GatewayTestCase, in_thread

AWKWARD = (
    b"From: a@sender.test\r\nTo: alice@example.test\r\nSubject: awkward\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <awkward@sender.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    b".\r\n..\r\n.dot first\r\n" + "grün und größer\r\n".encode() + b"x" * 900 + b"\r\n\r\n\r\n"
)
BODY = AWKWARD.partition(b"\r\n\r\n")[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PeerTestCase(GatewayTestCase):
    """`folder` is where the peer works."""

    def make_folder(self) -> Path:
        # The peer's own user has to reach it: not below trial's folder, which may be private.
        self.folder = Path(tempfile.mkdtemp(prefix="mailgw-peer-"))
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        return self.folder


class PostfixTestCase(PeerTestCase):
    async def start_postfix(self, port: int = 0, address: str = "127.0.0.1", **settings: str) -> int:
        """Start it on that port, or on one that is free; give the port."""
        self.port = port or free_port()
        etc = postfix.write_configuration(self.make_folder(), self.port, settings, address)
        await in_thread(postfix.run, etc, "start")
        self.addCleanup(postfix.run, etc, "stop")
        self.configurations = [*getattr(self, "configurations", ()), etc]
        return self.port

    def log(self) -> str:
        path = self.folder / "mail.log"
        return path.read_text() if path.exists() else ""


class EximTestCase(PeerTestCase):
    async def start_exim(
        self,
        gateway_port: int,
        port: int = 0,
        settings: str = "",
        transport: str = "",
        identity: tuple[bytes, bytes] | None = None,
    ) -> int:
        """Start it on that port, or on one that is free; it sends to `gateway_port`. Give the port.

        `identity` are its certificate and key; by default one of its own for localhost.
        """
        port = port or free_port()
        certificate, key = identity or make_certificate(["localhost"], datetime.datetime.now(datetime.UTC))
        configuration = exim.write_configuration(
            self.make_folder(), port, gateway_port, certificate, key, settings, transport
        )
        process = exim.start(configuration)
        self.addCleanup(exim.stop, process)
        await self.until(lambda: "daemon started" in self.log())
        return port

    def log(self) -> str:
        path = self.folder / "log" / "mainlog"
        return path.read_text(errors="replace") if path.exists() else ""

    def inbox(self) -> bytes:
        """What Exim delivered itself: mail for exim.test, message after message."""
        path = self.folder / "mail" / "inbox"
        return path.read_bytes() if path.exists() else b""
