"""kill -9 at each step of a message's way: nothing with a 250 is lost, and only what was in flight comes twice."""

from __future__ import annotations

import os
import re
import signal
import smtplib
from collections import Counter
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from mailgw.queue.listing import Listing
from tests.integration import dying
from tests.integration.gateway import Gateway
from tests.integration.world import GatewayTestCase, in_thread

reactor: Any = installed_reactor

_MARK = re.compile(rb"X-Mark: (step-\d+)")
CONFIG = """
[domains."routed.test"]
deliver = "route:sink"

[routes.sink]
hosts = ["127.0.0.1:{port}"]

[queue]
inline_size = 10000
retry = [1.0]
"""
FILTERS = """
[greylisting]
enabled = false

[recipients."alice@example.test".rules]
SITE_STEP = "spam"
"""
RULES = """
[[rule]]
symbol = "SITE_STEP"
where = "header:x-mark"
pattern = '^step'
score = 0.0
"""
SMALL, LARGE = 1, 1000  # lines; the large stands in a file
RELAYED, HERE = "anyone@routed.test", "alice@example.test"
BOTH = f"{RELAYED} {HERE}"
"""Their verdicts differ, so that each gets a message of his own."""
LATER, GONE = "later@routed.test", "gone@routed.test"


@frozen
class Step:
    """What is sent when the gateway is to die at `name`; whether that gets a 250; how often it arrives in the end."""

    name: str
    recipients: str
    lines: int
    accepted: bool
    copies: int


STEPS = (
    # Without a 250 the client has it still. It comes twice, by the client, where the commit was before the kill.
    Step("a part of the content is in its file", RELAYED, LARGE, False, 0),
    Step("the content file is synced, nothing is committed", RELAYED, LARGE, False, 0),
    Step("the rows are written, the commit is to come", RELAYED, SMALL, False, 0),
    Step("the rows are written, the commit is to come", RELAYED, LARGE, False, 0),
    Step("the message is committed, the 250 is to come", RELAYED, SMALL, False, 1),
    Step("the message is committed, the 250 is to come", RELAYED, LARGE, False, 1),
    Step("the content is linked for a second message", BOTH, LARGE, False, 0),
    Step("the message is committed, the 250 is to come", BOTH, LARGE, False, 2),
    Step("the 250 is sent", HERE, LARGE, True, 1),
    Step("the attempt is begun", RELAYED, SMALL, True, 1),
    # In flight: the next hop has it, and we do not know or have not written that.
    Step("the content is sent, the reply is to come", RELAYED, LARGE, True, 2),
    Step("the reply is received", RELAYED, SMALL, True, 2),
    Step("the settlement is written, its commit is to come", RELAYED, LARGE, True, 2),
    # A copy in a folder is found there by its name.
    Step("the copy is in tmp/ of the folder", HERE, LARGE, True, 1),
    Step("the copy is in new/ of the folder", HERE, LARGE, True, 1),
    Step("the settlement is written, its commit is to come", HERE, SMALL, True, 1),
    Step("the settlement is committed, the content file is there", RELAYED, LARGE, True, 1),
    Step("the content file is removed", RELAYED, LARGE, True, 1),
    Step("the next attempt is written, its commit is to come", LATER, LARGE, True, 1),
    Step("the next attempt is committed", LATER, SMALL, True, 1),
    # `copies` of the report; the message itself is refused.
    Step("the report is written, its commit is to come", GONE, SMALL, True, 1),
    Step("the report is committed", GONE, LARGE, True, 1),
    Step("the log is to be erased", RELAYED, SMALL, True, 1),
    Step("the log is erased", RELAYED, LARGE, True, 1),
)
AT_START = ("the queue is opened, its orphans are there", "the orphans are removed")
_OTHERS = {LATER: Reply.of(450, "4.2.0", "come back"), GONE: Reply.of(550, "5.1.1", "nobody of that name")}


class DyingGateway(Gateway):
    program = "from tests.integration import dying; dying.run()"


class StepTests(GatewayTestCase):
    timeout = 240

    async def start_dying(self) -> None:
        await self.make_world(Manners(recipients=_OTHERS, delay=0.05))
        self.step = Path(self.mktemp()).absolute()
        self.patch(os, "environ", {**os.environ, dying.VARIABLE: str(self.step)})
        self.gateway = DyingGateway(
            self.mktemp(), dns=self.dns_port, relay_port=self.sink_port, more=CONFIG.format(port=self.sink_port)
        )
        self.gateway.write_configuration({"filters.toml": FILTERS, "rules.toml": RULES})
        self.addCleanup(self.coroutine, self.gateway.kill)
        await self.gateway.start()

    def test_every_point_is_tried(self) -> None:
        self.assertEqual({step.name for step in STEPS} | set(AT_START), set(dying.POINTS))

    async def test_nothing_is_lost_and_only_what_was_in_flight_comes_twice(self) -> None:
        await self.start_dying()
        for number, step in enumerate(STEPS):
            if "log" not in step.name:
                self.step.write_text(step.name)
            accepted = await in_thread(self.accepted, f"step-{number}", step)
            if "log" in step.name:  # the log is erased some time after the delivery
                await self.until(lambda: self.queued() == 0)
                self.step.write_text(step.name)
            await self.killed(step.name)
            self.assertEqual(accepted, step.accepted, step.name)
            self.step.unlink()
            await self.gateway.start()
            self.sink.manners = Manners(recipients={GONE: _OTHERS[GONE]}, delay=0.05)
            await self.until(lambda: self.queued() == 0)
            self.sink.manners = Manners(recipients=_OTHERS, delay=0.05)
            self.assertEqual(self.arrived(f"step-{number}"), step.copies, step.name)
            await self.until(lambda: self.files() == [])
        await self.gateway.stop()
        self.assertEqual([path.name for path in self.gateway.mail.rglob("*/tmp/*")], [])
        self.assertEqual(
            Counter(self.marks()), Counter({f"step-{n}": s.copies for n, s in enumerate(STEPS) if s.copies})
        )

    async def test_killed_at_its_start_it_starts_again(self) -> None:
        await self.start_dying()
        for number, name in enumerate(AT_START):
            await in_thread(self.accepted, f"step-{number}", Step(name, LATER, LARGE, True, 1))
            await self.gateway.wait_for(event="delayed")
            await self.gateway.kill()
            (self.gateway.state / "queue" / "content" / "ORPHAN").write_bytes(b"of a crash before")
            self.step.write_text(name)
            self.gateway.spawn()
            await self.killed(name)
            self.step.unlink()
            await self.gateway.start()
        self.sink.manners = Manners()
        await self.until(lambda: self.queued() == 0)
        self.assertEqual(Counter(self.marks()), {"step-0": 1, "step-1": 1})
        await self.until(lambda: self.files() == [])

    async def killed(self, name: str) -> None:
        ended: Deferred[Any] = Deferred.fromCoroutine(self.gateway.ended())
        ended.addTimeout(20.0, reactor)
        try:
            status, _ = await ended
        except Exception:
            raise AssertionError(f"it never came to the step: {name}; the log:\n{self.gateway.output}") from None
        self.assertEqual(status, -signal.SIGKILL, f"{name}:\n{self.gateway.output}")

    def accepted(self, mark: str, step: Step) -> bool:
        """Send a message; say whether it got its 250. Blocks."""
        message = f"From: a@sender.test\r\nSubject: x\r\nX-Mark: {mark}\r\n\r\n" + ("x" * 70 + "\r\n") * step.lines
        client = smtplib.SMTP("127.0.0.1", self.gateway.ports["mx"], "client.test", timeout=20)
        try:
            client.sendmail("a@sender.test", step.recipients.split(), message)
        except smtplib.SMTPServerDisconnected:
            return False
        finally:
            client.close()
        return True

    def queued(self) -> int:
        with Listing(self.gateway.state / "queue") as listing:
            return listing.size().messages

    def files(self) -> list[str]:
        return os.listdir(self.gateway.state / "queue" / "content")

    def arrived(self, mark: str) -> int:
        return self.marks().count(mark)

    def marks(self) -> list[str]:
        """The mark of each copy that has arrived, and of each report."""
        contents = [message.content for message in self.sink.received]
        contents += self.gateway.folder("alice", ".Spam")
        return [match[1].decode() for content in contents if (match := _MARK.search(content))]
