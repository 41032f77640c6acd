"""A next hop that is down, and a long queue for it: the gateway starts quickly, goes on, and sends all in the end."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.identifiers import new_id
from mailgw.mail.message import Message
from mailgw.queue.item import Delivery, Destination, QueuedMessage
from mailgw.queue.listing import Listing
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry
from tests.integration.gateway import Gateway
from tests.integration.peers import free_port
from tests.integration.world import GatewayTestCase, in_thread, send

reactor: Any = installed_reactor

COUNT = 3000
START_LIMIT = 10.0  # a start takes about a second; that of a busy machine longer
MESSAGE = b"From: a@sender.test\r\nSubject: x\r\n\r\nbody\r\n"


def waiting(number: int, now: float, random: Random) -> Entry:
    """A message for the next hop that has been tried before."""
    message_id = new_id(now, random.randbytes(5))
    recipient = Recipient(Mailbox(f"user{number}", "outside.test"))
    message = QueuedMessage(
        id=message_id,
        envelope=Envelope(Mailbox("alice", "example.test"), (recipient,)),
        message=Message.from_bytes(b"Subject: %d\r\n\r\n" % number + b"x" * 2000 + b"\r\n"),
        received=now,
        origin="submission",
    )
    delivery = Delivery(message_id, 0, recipient, Destination("relay", "mx:outside.test"), now, now + 86400.0, 3)
    return Entry(message, (delivery,))


class RestartTests(GatewayTestCase):
    async def test_a_long_queue_for_a_next_hop_that_is_down(self) -> None:
        await self.make_world()
        await self.sink.stop()
        port = free_port()
        self.gateway = gateway = Gateway(
            self.mktemp(), dns=self.dns_port, relay_port=port, level="info", more="[queue]\nretry = [1.0]"
        )
        gateway.write_configuration()
        self.addCleanup(self.coroutine, gateway.kill)
        await self.fill(gateway.state / "queue")

        for number in range(2):
            before = time.monotonic()
            await gateway.start()
            await gateway.wait_for(event="site_paused")
            await in_thread(send, gateway.ports["mx"], "a@sender.test", ["alice@example.test"], MESSAGE)
            await self.until(lambda number=number: len(gateway.folder("alice")) == number + 1)
            self.assertLess(time.monotonic() - before, START_LIMIT)
            await self.until(lambda: self.queued() == COUNT)
            if number == 0:
                before = time.monotonic()
                await gateway.stop()
                self.assertLess(time.monotonic() - before, START_LIMIT)
                gateway.events.clear()

        self.sink.start(port=port)
        await self.until(lambda: self.queued() == 0, limit=60.0)
        subjects = sorted(int(message.content[9:].partition(b"\r")[0]) for message in self.sink.received)
        self.assertEqual(subjects, list(range(COUNT)), "each once")

    async def fill(self, directory: Path) -> None:
        """Put the messages into the queue of a gateway that is not running."""
        store = SqliteStore(directory, reactor, inline_size=1 << 17, minimum_free=0, clock=reactor)
        await store.open()
        random = Random(1)
        entries = [waiting(number, reactor.seconds(), random) for number in range(COUNT)]
        await gatherResults([Deferred.fromCoroutine(store.put(entry)) for entry in entries])
        await store.close()

    def queued(self) -> int:
        with Listing(self.gateway.state / "queue") as listing:
            return listing.size().deliveries
