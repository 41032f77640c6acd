"""The evidence files of tests/evidence: messages, and what the filters must and must not say about them.

A file holds cases, divided by lines that start with `===`. A case is a few words a line, then a line `---`, then the
message with LF line ends, which become CRLF:

    # why this case is there
    expect SYMBOL           this symbol is stated
    absent SYMBOL           this one is not
    nothing                 no symbol at all is stated
    helo NAME               also: client ADDRESS, mail_from ADDRESS (empty: the null one), rcpt ADDRESS, identity USER
    signal KIND             the session saw this: early_talker, pipelining
    smtputf8                the transaction is one of RFC 6531
    ---
    From: ...

All filters run, with the shipped rules and the clock at 2026-11-02 10:00 UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import FilterFile, Settings
from mailgw.filters import catalogue
from mailgw.filters.runner import FilterRunner
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.transaction import Signal, SignalKind
from mailgw.operation.threads import ThreadsInline
from tests.fakes import FakeResolver
from tests.filters.support import NOW, make_transaction

FOLDER = Path(__file__).parent.parent / "evidence"
RULES = Path(__file__).parent.parent.parent / "etc" / "rules.toml"


@define
class Case:
    place: str
    message: bytes
    expect: list[str] = field(factory=list)
    absent: list[str] = field(factory=list)
    nothing: bool = False
    changes: dict[str, Any] = field(factory=dict)

    def take(self, line: str) -> None:
        word, _, value = line.partition(" ")
        value = value.strip()
        if word in ("expect", "absent"):
            getattr(self, word).append(value)
        elif word == "nothing":
            self.nothing = True
        elif word == "smtputf8":
            self.changes["smtputf8"] = True
        elif word == "signal":
            self.changes["signals"] = (*self.changes.get("signals", ()), Signal(cast(SignalKind, value), "seen"))
        elif word == "mail_from":
            self.changes["reverse_path"] = Mailbox.parse(value) if value else None
        elif word == "rcpt":
            recipients = self.changes.get("recipients", ())
            self.changes["recipients"] = (*recipients, Recipient(Mailbox.parse(value)))
        elif word in ("helo", "client", "identity"):
            self.changes["address" if word == "client" else word] = value
        elif word and not word.startswith("#"):
            raise ValueError(f"{self.place}: {word!r} is no word of a case")


def read_cases(path: Path) -> Iterator[Case]:
    for number, text in enumerate(re.split(rb"^===.*\n", path.read_bytes(), flags=re.M), 1):
        head, _, message = text.partition(b"\n---\n")
        case = Case(f"{path.name} case {number}", message.replace(b"\n", b"\r\n"))
        for line in head.decode().split("\n"):
            case.take(line)
        if not (case.expect or case.absent or case.nothing):
            raise ValueError(f"{case.place} expects nothing")
        yield case


class EvidenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock = Clock()
        clock.advance(NOW)
        filters = catalogue.read(FilterFile(), "filters.toml", str(RULES)).make(
            Settings(), clock, ThreadsInline(), FakeResolver()
        )
        self.runner = FilterRunner(filters, clock)

    def check(self, case: Case) -> None:
        transaction = make_transaction(case.message, **case.changes)
        self.successResultOf(Deferred.fromCoroutine(self.runner.run(transaction)))
        stated = {e.symbol: e.detail for e in transaction.evidence}
        for symbol in case.expect:
            self.assertIn(symbol, stated, case.place)
        for symbol in case.absent:
            self.assertNotIn(symbol, stated, case.place)
        if case.nothing:
            self.assertEqual(stated, {}, case.place)

    def test_there_are_many_cases(self) -> None:
        self.assertGreaterEqual(sum(1 for path in FOLDER.glob("*.txt") for _ in read_cases(path)), 40)


def _test_of(path: Path) -> Callable[[EvidenceTests], None]:
    def test(self: EvidenceTests) -> None:
        for case in read_cases(path):
            self.check(case)

    return test


for _path in sorted(FOLDER.glob("*.txt")):
    setattr(EvidenceTests, f"test_{_path.stem}", _test_of(_path))
