"""Measure whether a slow destination delays others: python -m tests.bench.bench_fairness [--messages N] [--seconds S].

A queue on the disk holds N messages (10,000), all bulk, for a next hop that takes S seconds (0.2) for each. Then mail
comes for another next hop, and mail of a person for the slow one. Prints how long each waited until its next hop had
it, and the memory of the process. The next hops are real ones on loopback.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater, react
from twisted.protocols.basic import LineReceiver

from mailgw.config import schema
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import Message
from mailgw.operation.threads import ThreadsInline
from mailgw.queue.item import Delivery, Destination, Priority, QueuedMessage
from mailgw.queue.scheduler import Scheduler
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry
from tests.fakes import FakeResolver

reactor: Any = _reactor
_RECIPIENT = Recipient(Mailbox("user", "example.org"))
_BODY = b"From: a@example.net\r\nSubject: a test\r\n\r\n" + (b"x" * 70 + b"\r\n") * 70
_PROBES = 20


class Sink(LineReceiver):
    """Takes everything, each message after `seconds`; notes when it had one whose id stands in its subject."""

    seconds = 0.0

    def __init__(self, taken: dict[str, float]) -> None:
        self._taken = taken
        self._data = False
        self._id = ""

    def connectionMade(self) -> None:
        self.sendLine(b"220 sink ESMTP")

    def lineReceived(self, line: bytes) -> None:
        if self._data:
            if line.startswith(b"Id: "):
                self._id = line[4:].decode()
            if line == b".":
                self._data = False
                reactor.callLater(self.seconds, self._answer, self._id)
            return
        verb = line[:4].upper()
        self._data = verb == b"DATA"
        self.sendLine(b"354 go on" if self._data else b"221 bye" if verb == b"QUIT" else b"250 ok")

    def _answer(self, message_id: str) -> None:
        self._taken[message_id] = time.time()
        if self.transport is not None:
            self.sendLine(b"250 ok")


class SlowSink(Sink):
    """One that `seconds` is set for."""


def entry(message_id: str, route: str, priority: Priority = Priority.PEOPLE) -> Entry:
    now = time.time()
    message = Message.from_bytes(b"Id: %s\r\n" % message_id.encode() + _BODY)
    queued = QueuedMessage(message_id, Envelope(Mailbox("sender", "example.net"), (_RECIPIENT,)), message, now, "mx")
    delivery = Delivery(message_id, 0, _RECIPIENT, Destination("relay", f"route:{route}"), now, now + 1e6)
    return Entry(queued, (evolve(delivery, priority=priority),))


async def measure(options: argparse.Namespace, directory: Path) -> None:
    taken: dict[str, float] = {}
    SlowSink.seconds = options.seconds
    ports = [
        reactor.listenTCP(0, Factory.forProtocol(lambda sink=sink: sink(taken)), interface="127.0.0.1")
        for sink in (SlowSink, Sink)
    ]
    routes = {
        name: schema.Route(hosts=(f"127.0.0.1:{port.getHost().port}",), tls="none")
        for name, port in zip(("slow", "other"), ports, strict=True)
    }
    threads = ThreadsInline()
    sessions = Sessions(reactor, FakeResolver(), schema.Relay(), routes, "gw.example.org", threads, random.Random(1))
    agent = RelayAgent(sessions, threads)
    store = SqliteStore(directory / "queue", reactor, inline_size=131072, minimum_free=0, clock=reactor)
    await store.open()
    for start in range(0, options.messages, 500):
        bulk = (entry(f"01SLOW{n:010}", "slow", Priority.BULK) for n in range(start, start + 500))
        await gatherResults([Deferred.fromCoroutine(store.put(one)) for one in bulk])
    scheduler = Scheduler(store, {"relay": agent}, None, reactor, random.Random(1), schema.Queue())  # type: ignore
    scheduler.start()
    await deferLater(reactor, 2.0)
    for name in ("other", "slow"):
        waits = []
        for n in range(_PROBES):
            probe = entry(f"01PROBE{name.upper():>5}{n:04}".replace(" ", "0"), name)
            await store.put(probe)
            offered = time.time()
            scheduler.offer(probe)
            while probe.message.id not in taken:
                if time.time() - offered > options.limit:
                    break
                await deferLater(reactor, 0.005)
            waits.append(taken.get(probe.message.id, time.time()) - offered)
        print(
            f"mail for the {name:5} next hop: median {statistics.median(waits):.3f} s, longest {max(waits):.3f} s",
            flush=True,
        )
    delivered = sum(message_id.startswith("01SLOW") for message_id in taken)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{delivered} of {options.messages} delivered meanwhile; {memory:.0f} MiB at most", flush=True)
    await scheduler.stop(5.0)
    await agent.close()
    for port in ports:
        await port.stopListening()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--seconds", type=float, default=0.2, help="what the slow next hop takes for a message")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds to wait for a message at most")
    parser.add_argument("--directory", help="where to make the queue (default: /tmp)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-fairness-", dir=options.directory) as directory:
        react(lambda _: Deferred.fromCoroutine(measure(options, Path(directory))))


if __name__ == "__main__":
    main()
