"""Fills a queue as long trouble leaves it: nearly everything waits for its next try."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from rich.progress import Progress

from mailgw.develop.dnsserver import Zone
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.identifiers import new_id
from mailgw.mail.message import Message
from mailgw.mail.verdict import Verdict, VerdictLine
from mailgw.queue.item import Delivery, Destination, QueuedMessage
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry

LARGE = Destination("relay", "mx:large.test")
"""Has half of the messages."""
DEAD = Destination("relay", "route:dead")
"""Has a twentieth of them, all of them due."""
OTHERS = tuple(Destination("relay", f"mx:site{n}.test") for n in range(18))
RARE_SENDER = "rare@shop.test"
"""Sent one message of 10,000; all others come from 10,000 senders."""

_DAY = 86400.0
_AT_ONCE = 500
_VERDICT = Verdict(
    "inbox",
    0.1,
    tuple(
        VerdictLine(symbol, "what was seen, in a few words", "filter", 0.1, 1.0, 0.1, 0.1)
        for symbol in ("SPF_PASS", "DKIM_VALID", "MISSING_DATE", "BULK", "URL", "RDNS_NONE", "HTML", "DMARC_PASS")
    ),
    "the score is 0.1, below 6.0",
)


async def fill(reactor: Any, directory: Path, messages: int, size: int) -> None:
    """Make a queue of so many messages of `size` octets each, which came in over the last two days."""
    store = SqliteStore(directory, reactor, inline_size=131072, minimum_free=0, clock=reactor)
    await store.open()
    entries = _entries(messages, size)
    with Progress(transient=True) as progress:
        task = progress.add_task(f"filling a queue with {messages:,} messages", total=messages)
        while some := list(islice(entries, _AT_ONCE)):
            await store.put(*some)
            progress.advance(task, len(some))
    await store.close()


def zone() -> Zone:
    """Give the DNS of the destinations: hosts on loopback."""
    domains = [destination.target.removeprefix("mx:") for destination in (LARGE, *OTHERS)]
    hosts = {f"mx.{domain}": {"A": ["127.0.0.1"]} for domain in domains}
    return {**hosts, **{domain: {"MX": [f"10 mx.{domain}."]} for domain in domains}}


def recipient(number: int) -> Mailbox:
    """Give the recipient of one message."""
    name = _destination(number).target.partition(":")[2]
    return Mailbox(f"user{number}", name if name.endswith(".test") else f"{name}.test")


def _destination(number: int) -> Destination:
    kind = number % 20
    return LARGE if kind >= 10 else DEAD if kind == 9 else OTHERS[number // 20 % len(OTHERS)]


def _entries(messages: int, size: int) -> Iterator[Entry]:
    random = Random(6)
    now = time.time()
    body = (b"The quick brown fox jumps over the lazy dog, and a dot stands below.\r\n" * (size // 70 + 1))[: size - 2]
    for number in range(messages):
        received = now - 2 * _DAY * (1 - number / messages)
        local_part, _, domain = RARE_SENDER.partition("@")
        sender = Mailbox(f"sender{random.randrange(10000)}", "shop.test")
        if number % 10000 == 5000:
            sender = Mailbox(local_part, domain)
        to, destination = Recipient(recipient(number)), _destination(number)
        message_id = new_id(received, random.randbytes(5))
        message = Message.from_bytes(
            b"From: <%s>\r\nSubject: number %d\r\n\r\n%s\r\n" % (str(sender).encode(), number, body)
        )
        due = now - random.uniform(0.0, 3600.0) if destination is DEAD else now + random.uniform(0.0, 4 * 3600.0)
        delivery = Delivery(
            message_id,
            0,
            to,
            destination,
            due,
            received + 5 * _DAY,
            attempts=6,
            last=f"no greeting: mx{number % 3}.{to.forward_path.domain} said: 421 4.7.0 Try again later",
        )
        yield Entry(
            QueuedMessage(message_id, Envelope(sender, (to,), "8BITMIME"), message, received, "mx", "", "", _VERDICT),
            (delivery,),
        )
