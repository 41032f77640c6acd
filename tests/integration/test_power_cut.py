"""The power is cut under load: whatever the disk holds of what was not synced, all that got its 250 is there."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import smtplib
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from mailgw.queue.schema import open_database
from mailgw.queue.sqlite import SqliteStore
from tests.integration import powercut
from tests.integration.gateway import Gateway
from tests.integration.peers import free_port
from tests.integration.world import GatewayTestCase

reactor: Any = installed_reactor

CUTS = int(os.environ.get("MAILGW_POWER_CUTS", "60"))
SENDERS = 4
MESSAGES = 63
"""Of each sender; a multiple of 9."""
CONFIG = """
[domains."routed.test"]
deliver = "route:sink"

[domains."down.test"]
deliver = "route:down"

[routes.sink]
hosts = ["127.0.0.1:{sink}"]

[routes.down]
hosts = ["127.0.0.1:{down}"]

[queue]
inline_size = 10000

[limits]
transactions = 100000
"""
FILTERS = """
[greylisting]
enabled = false

[recipients."anyone@down.test".rules]
SITE_MARK = "spam"
"""
RULES = """
[[rule]]
symbol = "SITE_MARK"
where = "header:x-mark"
pattern = '^[0-9]'
score = 0.0
"""
RELAYED, WAITING = "anyone@routed.test", "anyone@down.test"
# Of both each gets a message of his own, since their verdicts differ.
RECIPIENTS = ([RELAYED], [WAITING], [RELAYED, WAITING])
# As many syncs of the log behind its delivery, a settlement is written: it is in the next commit but one.
_SETTLED = 4
_QUEUED = re.compile(rb"250 2\.0\.0 OK: queued as (\w+)\r\n")
_MARK = re.compile(rb"X-Mark: (\d+)-(\d+)\r\n")


def make_message(sender: int, number: int) -> bytes:
    line = b"%d-%d " % (sender, number) * 8 + b"\r\n"
    size = (20, 100, 700)[number % 3]  # the last in a file
    return b"From: a@sender.test\r\nSubject: x\r\nX-Mark: %d-%d\r\n\r\n" % (sender, number) + line * size


def strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False, timeout=20)
    return tried.returncode == 0


class TracedGateway(Gateway):
    trace: Path

    @property
    def program(self) -> str:  # type: ignore[override]
        traced = (sys.executable, "-c", "from tests.integration import traced; traced.run()")
        command = powercut.command(self.trace, *traced)
        return f"import os, sys; os.execvp('strace', {command!r} + sys.argv[1:])"


class PowerCutTests(GatewayTestCase):
    timeout = 240
    if not strace_works():
        skip = "needs strace, and leave to trace"

    async def test_all_that_got_its_250_is_there(self) -> None:
        await self.make_world()
        more = CONFIG.format(sink=self.sink_port, down=free_port())
        self.gateway = gateway = TracedGateway(self.mktemp(), dns=self.dns_port, relay_port=self.sink_port, more=more)
        gateway.trace = gateway.directory / "trace"
        gateway.write_configuration({"filters.toml": FILTERS, "rules.toml": RULES})
        self.addCleanup(self.coroutine, gateway.kill)
        await gateway.start()
        await gatherResults([deferToThread(self.send, sender) for sender in range(SENDERS)])
        await self.until(lambda: len(self.sink.received) == SENDERS * MESSAGES * 2 // 3)
        await gateway.kill()
        queue = gateway.state / "queue"
        events = await deferToThread(lambda: list(powercut.read_trace(gateway.trace, queue)))
        self.assertGreater(sum(isinstance(e, powercut.Name) and bool(e.of) for e in events), SENDERS)
        self.assertGreater(sum(isinstance(e, powercut.Truncate) and e.path.endswith("-wal") for e in events), 2)
        choose = random.Random(1)
        points = sorted(choose.randrange(len(events)) for _ in range(CUTS))
        disk, history = powercut.Disk(queue), History()
        at = 0
        for number, point in enumerate(points):
            for event in itertools.islice(events, at, point):
                disk.apply(event)
                history.note(event)
            at = point
            copy = Path(self.mktemp())
            copy.mkdir()
            disk.cut(copy, choose)
            await self.check(copy, history, f"cut {number} at event {point} of {len(events)}")
            shutil.rmtree(copy)
        self.assertGreater(len(history.accepted), 10)

    def send(self, sender: int) -> None:
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["mx"], "client.test", timeout=60) as client:
            for number in range(MESSAGES):
                recipients = RECIPIENTS[number // 3 % 3]  # of each a message of each size
                client.sendmail("a@sender.test", recipients, make_message(sender, number))

    async def check(self, directory: Path, history: History, which: str) -> None:
        store = SqliteStore(directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        try:
            entries = await store.entries(10_000)
            for entry in entries:
                with entry.message.message.content.open() as file:
                    content = file.read()
                mark = _MARK.search(content)
                assert mark is not None, which
                self.assertTrue(content.endswith(make_message(int(mark[1]), int(mark[2]))), which)
        finally:
            await store.close()
        connection = open_database(directory)
        self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)], which)
        connection.close()
        self.assertEqual(list(directory.glob("damaged-*")), [], f"taken for damage: {which}")
        there = {entry.message.id for entry in entries}
        self.assertEqual(history.accepted - history.delivered.keys() - there, set(), f"lost: {which}")
        settled = {name for name, syncs in history.delivered.items() if history.syncs - syncs > _SETTLED}
        self.assertEqual(there & settled, set(), f"settled, and back: {which}")
        self.assertLessEqual({path.name for path in (directory / "content").iterdir()}, there, which)


class History:
    """What the world knew at a point of the trace."""

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.delivered: dict[str, int] = {}
        """Each with the number of syncs of the log before it."""
        self.syncs = 0

    def note(self, event: powercut.Event) -> None:
        match event:
            case powercut.Said(data=data):
                self.accepted.update(name.decode() for name in _QUEUED.findall(data))
                for line in data.splitlines():
                    if not (line.startswith(b"{") and b'"event"' in line):
                        continue  # not the log: a socket, or another file
                    logged = json.loads(line)
                    if logged.get("event") == "accepted":  # each message of those that one 250 is for
                        self.accepted.add(logged["transaction"])
                    elif logged.get("event") == "delivered":
                        self.delivered[logged["transaction"]] = self.syncs
            case powercut.Sync(step="end", path=path) if path.endswith("-wal"):
                self.syncs += 1
