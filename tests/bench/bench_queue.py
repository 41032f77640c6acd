"""Measure the queue alone: python -m tests.bench.bench_queue [--messages N] [--putters N] [--size N] [--directory D].

Prints messages a second and CPU milliseconds a message for `put`, for `put` and `settle` (each awaited, so that the
time for which a settlement waits for company shows), and for the way through the scheduler with an agent that delivers
at once, as in the gateway. The directory is to be on the disk that is measured, not in memory.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from mailgw.config.schema import Queue
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import Message
from mailgw.mail.verdict import Verdict, VerdictLine
from mailgw.queue.item import Delivered, Delivery, Destination, Outcome, QueuedMessage
from mailgw.queue.scheduler import Scheduler
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry, Settlement

_RECIPIENT = Recipient(Mailbox("user", "example.org"))
_ENVELOPE = Envelope(Mailbox("sender", "example.net"), (_RECIPIENT,), "8BITMIME")
_DESTINATION = Destination("relay", "mx:example.org")
_VERDICT = Verdict(
    "inbox",
    0.1,
    tuple(
        VerdictLine(symbol, "what was seen, in a few words", "filter", 0.1, 1.0, 0.1, 0.1)
        for symbol in ("SPF_PASS", "DKIM_VALID", "MISSING_DATE", "BULK", "URL")
    ),
    "the score is 0.1, below 6.0",
)


class InstantAgent:
    max_recipients = 50

    def __init__(self, done: Callable[[str], None]) -> None:
        self._done = done

    async def site(self, destination: Destination) -> str:
        return destination.target

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        self._done(message.id)
        return [Delivered("250 2.0.0 ok")] * len(deliveries)

    async def close(self) -> None:
        pass


class Bench:
    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.store = SqliteStore(directory, reactor, inline_size=131072, minimum_free=0, clock=reactor)
        body = (b"x" * 70 + b"\r\n") * (options.size // 72)
        self.data = b"From: a@example.net\r\nSubject: a test\r\n\r\n" + body
        self.count = 0

    def entry(self) -> Entry:
        self.count += 1
        now = time.time()
        message_id = f"01BENCHID{self.count:07}"
        message = Message.from_bytes(self.data + b"%d\r\n" % self.count)
        queued = QueuedMessage(message_id, _ENVELOPE, message, now, "mx", "01SESSION", "", _VERDICT)
        return Entry(queued, (Delivery(message_id, 0, _RECIPIENT, _DESTINATION, now, now + 432000.0),))

    async def measure(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        async def putter() -> None:
            for _ in range(self.options.messages // self.options.putters):
                await work()

        started, cpu = time.perf_counter(), time.process_time()
        await gatherResults([Deferred.fromCoroutine(putter()) for _ in range(self.options.putters)])
        await self.settled()
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
        count = self.options.messages
        print(f"{name:24} {count / elapsed:8.0f} messages/s   {cpu * 1000 / count:6.3f} CPU ms a message", flush=True)

    async def settled(self) -> None:
        """Nothing to wait for but in the run with the scheduler."""

    async def put(self) -> None:
        await self.store.put(self.entry())

    async def put_and_settle(self) -> None:
        entry = self.entry()
        await self.store.put(entry)
        await self.store.settle([Settlement(entry.deliveries[0].id)])

    async def scheduled(self) -> None:
        clock: Any = reactor
        left = self.options.messages
        finished: Deferred[None] = Deferred()

        def done(message_id: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                finished.callback(None)

        class NoReports:
            def report(self, *args: Any) -> None:
                return None

        scheduler = Scheduler(self.store, {"relay": InstantAgent(done)}, NoReports(), clock, Random(1), Queue())
        scheduler.start()

        async def put_and_offer() -> None:
            entry = self.entry()
            await self.store.put(entry)
            scheduler.offer(entry)

        async def wait() -> None:
            await finished
            await scheduler.stop(10.0)

        self.settled = wait  # type: ignore[method-assign]  # only for this run
        await self.measure("put, schedule, settle", put_and_offer)


async def bench(_reactor: Any, options: argparse.Namespace) -> None:
    for name in options.only or ["put", "settle", "schedule"]:
        directory = Path(tempfile.mkdtemp(prefix="bench-queue-", dir=options.directory))
        try:
            run = Bench(directory / "queue", options)
            await run.store.open()
            if name == "put":
                await run.measure("put", run.put)
            elif name == "settle":
                await run.measure("put and settle", run.put_and_settle)
            else:
                await run.scheduled()
            await run.store.close()
        finally:
            shutil.rmtree(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--putters", type=int, default=20)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--directory", default=".", help="where to make the queue")
    parser.add_argument("--only", action="append", choices=["put", "settle", "schedule"])
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(bench(reactor, options)))


if __name__ == "__main__":
    main()
