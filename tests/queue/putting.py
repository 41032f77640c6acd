"""A process for test_kill: puts and settles messages, and says what is durable, until it is killed.

Run as `python -m tests.queue.putting DIRECTORY ROUND`. Prints `put ID SIZE` when a put has returned and `settled ID`
when a settlement has.
"""

from __future__ import annotations

import sys
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from mailgw.mail.message import FileContent, Message
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry, Settlement
from tests.queue.items import entry

HEAD = b"Subject: to be killed\r\n\r\n"


async def put_on(store: SqliteStore, prefix: str) -> None:
    count = 0
    while True:
        count += 1
        put = entry(f"{prefix}{count:010}")
        size = 50_000 if count % 7 == 0 else 3000
        writer = store.new_content(put.message.id)
        await writer.write(HEAD)
        await writer.write(b"x" * size)
        content = await writer.finish()
        put = Entry(evolve(put.message, message=Message(content, HEAD)), put.deliveries)
        await store.put(put)
        print("put", put.message.id, content.size, "file" if isinstance(content, FileContent) else "row", flush=True)
        if count % 3 == 0:
            await store.settle([Settlement(put.deliveries[0].id)])
            print("settled", put.message.id, flush=True)


async def main(reactor: Any, directory: str, number: str) -> None:
    store = SqliteStore(directory, reactor, inline_size=10_000, minimum_free=0, clock=reactor)
    await store.open()
    await gatherResults([Deferred.fromCoroutine(put_on(store, f"{number}P{putter}")) for putter in range(8)])


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1], sys.argv[2])))
