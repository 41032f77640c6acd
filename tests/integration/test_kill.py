"""kill -9 under load: what got its 250 is in a folder, at the sink, or in the queue after the restart."""

from __future__ import annotations

import random
import re
import smtplib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from mailgw.queue.listing import Listing
from tests.integration.world import GatewayTestCase

reactor: Any = installed_reactor

SENDERS = 20
KILLS = 10
_MARK = re.compile(rb"X-Mark: (\d+-\d+)")
ROUTED = """
[domains."routed.test"]
deliver = "route:sink"

[routes.sink]
hosts = ["127.0.0.1:{port}"]
"""


class Senders:
    """Threads that send numbered messages until told to stop; `accepted` are the marks that got a 250."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.accepted: set[str] = set()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, sender: int) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self._port, "client.test", timeout=20) as client:
                    while not self._stop.is_set():
                        number += 1
                        self._send(client, f"{sender}-{number}")
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)  # killed, or not up yet: come again as a client would

    def _send(self, client: smtplib.SMTP, mark: str) -> None:
        recipient = ("alice@example.test", "anyone@routed.test")[hash(mark) % 2]
        # Some of them are larger than what stands in the database.
        body = "x" * 70 + "\r\n"
        size = 3000 if hash(mark) % 29 == 0 else 40
        client.sendmail("a@sender.test", recipient, f"From: a@sender.test\r\nX-Mark: {mark}\r\n\r\n" + body * size)
        with self._lock:
            self.accepted.add(mark)


class KillTests(GatewayTestCase):
    timeout = 240

    async def test_nothing_that_was_accepted_is_lost(self) -> None:
        await self.make_world()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        more = ROUTED.format(port=self.sink_port) + "\n[limits]\ntransactions = 100000\n"
        gateway = await self.start_gateway(mx=port, more=more)
        choose = random.Random(1)
        senders = Senders(port)
        self.addCleanup(senders.stop)
        for _ in range(KILLS):
            before = len(senders.accepted)
            await deferLater(reactor, choose.uniform(0.2, 0.8))
            await self.until(lambda before=before: len(senders.accepted) > before + SENDERS)
            await gateway.kill()
            await gateway.start()
        await deferToThread(senders.stop)
        # What is not yet delivered is still in the queue, and goes out.
        await self.until(lambda: self.queued() == 0, limit=60)
        missing = senders.accepted - self.found()
        self.assertEqual(missing, set(), f"{len(missing)} of {len(senders.accepted)} lost")
        self.assertGreater(len(senders.accepted), KILLS * SENDERS)
        here = Counter(marks(path.read_bytes()[:4096] for path in self.folder_here().iterdir()))
        self.assertEqual([mark for mark, times in here.items() if times > 1], [], "in the folder twice")

    def queued(self) -> int:
        with Listing(self.gateway.state / "queue") as listing:
            return listing.size().deliveries

    def folder_here(self) -> Path:
        folder: Path = self.gateway.mail / "example.test" / "alice" / "new"
        return folder

    def found(self) -> set[str]:
        """The marks of every message that has arrived."""
        contents = [message.content for message in self.sink.received]
        contents += [path.read_bytes()[:4096] for path in self.folder_here().iterdir()]
        return set(marks(contents))


def marks(contents: Iterable[bytes]) -> Iterator[str]:
    return (match[1].decode() for content in contents if (match := _MARK.search(content)))
