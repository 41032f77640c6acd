r"""Plays the dialogues of tests/dialogues/sessions (tests/dialogue.py) against whole sessions, in memory.

A file may begin with settings:

    set: limits.soft_errors = 2    keys of mailgw.toml, as TOML; `listener` is the only listener; rates of the file are
                                   the only ones
    from: ADDRESS                  whom connections come from, else 192.0.2.1
    connected: ADDRESS*N ...       others that are connected all the time, and silent
    good history: ADDRESS          a host that has sent good mail for long
    judge: WORD                    what becomes of messages: spam, reject, defer, discard, or error
    store: WORD                    a disk that is full, or fails (broken)
    next hop: WORD                 what call-ahead says: known, unknown, disabled or later
    passwords: broken              they cannot be looked up

Steps beyond those of all dialogues:

    CONNECT: ADDRESS               a new connection; each file begins on one from `from`
    WAIT: SECONDS
    SHUTDOWN                       the gateway is told to stop
    QUEUED: FOLDER ADDRESS ...     the next message in the queue, and whom it is for; a relayed one has `-` as folder
    M: pattern                     that message, as it goes out
    LOG: EVENT                     there is a line of this kind in the log

No message may be in the queue that is not stated. Where all is sent at once it is up to the next CONNECT, WAIT, TLS or
SHUTDOWN.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits, Rate, Timeouts
from mailgw.mail.reply import Reply, StorageFull, TemporaryFailure
from mailgw.mail.transaction import Client
from mailgw.mail.verdict import Verdict
from mailgw.queue.memory import MemoryStore
from mailgw.queue.store import Entry
from mailgw.routing.interface import Verification
from tests.dialogue import DIALOGUES, Dialogue, matches, parse, replies
from tests.reception.harness import NO_RATES, Peer, Server

SESSIONS = DIALOGUES / "sessions"
SETTINGS = ("set", "from", "connected", "good history", "judge", "store", "next hop", "passwords")
ACTIONS = ("CONNECT", "WAIT", "SHUTDOWN", "TLS")
CHECKS = ("QUEUED", "LOG")

VERDICTS = {
    "spam": Verdict("spam", 7.0, (), "spam"),
    "reject": Verdict("reject", 20.0, (), "", Reply(554, "5.7.1", ("Refused as spam",))),
    "defer": Verdict("defer", 0.0, (), "", Reply(451, "4.7.1", ("Please try again later",))),
    "discard": Verdict("discard", 0.0, (), ""),
}
NEXT_HOP = {
    "known": Verification(True),
    "unknown": Verification(False, "5.1.1", "no such user"),
    "disabled": Verification(False, "5.2.1", "disabled"),
    "later": Verification(None, "", "timed out"),
}


class FailingStore(MemoryStore):
    """A disk that fails when the message is to be made durable."""

    def __init__(self, failure: TemporaryFailure) -> None:
        super().__init__()
        self.failure = failure

    async def put(self, entry: Entry) -> None:
        raise self.failure


STORES: dict[str, TemporaryFailure] = {
    "full": StorageFull("No space left on device"),
    "broken": TemporaryFailure("Input/output error"),
}


@define
class Block:
    """What is sent without waiting, what has to be true then, and what happens next."""

    sent: bytes = b""
    checks: list[tuple[str, bytes]] = Factory(list)
    action: str = ""
    argument: str = ""


def blocks(dialogue: Dialogue, way: str) -> Iterator[Block]:
    """Cut a dialogue into blocks: as it is written, or as long as they can be."""
    block = Block()
    for kind, text in dialogue.steps:
        if kind in ("C", "R"):
            if way == "blocks" and block.checks:
                yield block
                block = Block()
            block.sent += text
        elif kind in ACTIONS:
            block.action, block.argument = kind, text.decode()
            yield block
            block = Block()
        else:
            block.checks.append((kind, text))
    yield block


def server_of(dialogue: Dialogue) -> Server:
    """Make the server that the settings of a dialogue describe."""
    settings = dict(dialogue.settings)
    toml = tomllib.loads("\n".join(text for kind, text in dialogue.settings if kind == "set"))
    rates = {name: Rate(**_tuples(rate)) for name, rate in toml.pop("rates", {}).items()}
    store = settings.get("store")
    server = Server(
        limits=Limits(**toml.pop("limits", {})),
        timeouts=Timeouts(**toml.pop("timeouts", {})),
        rates={**NO_RATES, **rates},
        own_networks=toml.pop("own_networks", ()),
        store=FailingStore(STORES[store]) if store else None,
        **_tuples(toml.pop("listener", {})),
    )
    if toml:
        raise ValueError(f"not a setting of a dialogue: {toml}")
    judge = settings.get("judge")
    if judge == "error":
        server.judge.error = ZeroDivisionError("ours")
    elif judge:
        server.judge.verdict = VERDICTS[judge]
    server.verifier.verification = NEXT_HOP[settings.get("next hop", "known")]
    if "passwords" in settings:
        server.authenticator.error = TemporaryFailure("the file of users cannot be read")
    if "good history" in settings:
        for _ in range(20):
            server.guard.outcome(Client("", "mx", settings["good history"]), True)
    return server


def _tuples(section: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}


class SessionDialogueTests(SynchronousTestCase):
    """One test for each file and way, added below."""

    def play(self, dialogue: Dialogue, way: str) -> None:
        self.logged: set[str] = set()
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.server = server_of(dialogue)
        self.successResultOf(Deferred.fromCoroutine(self.server.store.open()))
        settings = dict(dialogue.settings)
        for others in settings.get("connected", "").split():
            address, _, number = others.partition("*")
            for _ in range(int(number or 1)):
                self.server.connect(address)
        self.messages = 0
        self.connect(settings.get("from", "192.0.2.1"))
        for block in blocks(dialogue, way):
            self.play_block(block, way)
        self.assertEqual(self.messages, len(self.server.offered), "messages in the queue")
        if settings.get("judge") == "error":
            self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def observe(self, event: LogEvent) -> None:
        self.logged.add(event.get("event", ""))

    def connect(self, address: str) -> None:
        self.peer = Peer(self.server, address)
        self.output = self.peer.greeting
        self.closed = False

    def play_block(self, block: Block, way: str) -> None:
        for piece in [bytes([octet]) for octet in block.sent] if way == "bytes" else [block.sent]:
            if piece and not self.peer.closed:
                self.output += self.peer.send(piece)
                self.server.clock.advance(0)
        self.output += self.peer.replies()
        self.compare([text for kind, text in block.checks if kind == "S"])
        for kind, text in block.checks:
            if kind == "CLOSED":
                self.closed = True
            elif kind == "QUEUED":
                self.compare_deliveries(text.decode().split())
            elif kind == "M":
                content = b"".join(self.server.offered[self.messages - 1].message.message.output())
                self.assertTrue(matches(text, content), f"expected {text!r}, got {content!r}")
            elif kind == "LOG":
                self.assertIn(text.decode(), self.logged)
        self.assertEqual(self.peer.closed, self.closed, "closed")
        self.act(block)

    def act(self, block: Block) -> None:
        if block.action == "CONNECT":
            self.connect(block.argument)
        elif block.action == "WAIT":
            self.server.clock.advance(float(block.argument))
        elif block.action == "SHUTDOWN":
            Deferred.fromCoroutine(self.server.sessions.stop(10.0))
        elif block.action == "TLS":
            self.peer.transport.finish_handshake()

    def compare(self, patterns: list[bytes]) -> None:
        got = replies(self.output.encode())
        self.output = ""
        if len(patterns) != len(got) or not all(map(matches, patterns, got)):
            self.fail(f"expected {patterns}, got {got}")

    def compare_deliveries(self, expected: list[str]) -> None:
        entry = self.server.offered[self.messages]
        self.messages += 1
        folders = {delivery.destination.folder or "-" for delivery in entry.deliveries}
        self.assertEqual([*folders, *(str(d.recipient.forward_path) for d in entry.deliveries)], expected)


def _test(path: Path, way: str) -> Callable[[SessionDialogueTests], None]:
    def test(self: SessionDialogueTests) -> None:
        self.play(parse(path.read_text(), SETTINGS, (*ACTIONS, *CHECKS)), way)

    return test


for _path in sorted(SESSIONS.glob("*.txt")):
    for _way in parse(_path.read_text(), SETTINGS, (*ACTIONS, *CHECKS)).ways:
        setattr(SessionDialogueTests, f"test_{_path.stem}_in_{_way}", _test(_path, _way))
