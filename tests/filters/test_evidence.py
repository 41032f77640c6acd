"""The evidence files of tests/evidence: messages, and what the filters must and must not say about them.

A file holds cases, divided by lines that start with `===`. A case is a few words a line, then a line `---`, then the
message with LF line ends, which become CRLF:

    # why this case is there
    expect SYMBOL           this symbol is stated
    absent SYMBOL           this one is not
    nothing                 no symbol at all is stated
    helo NAME               also: client ADDRESS, mail_from ADDRESS (empty: the null one), rcpt ADDRESS, identity USER
    service lmtp            the listener, where it is not mx
    signal KIND             the session saw this: early_talker, pipelining
    auth dkim=pass header.d=example.net
                            a result of sender authentication, with its properties
    dns NAME TYPE VALUE     what the resolver knows; every other name does not exist
    engine NAME ANSWER      an engine is on, and says this (`tests.filters.engine_answers` knows its words); without an
                            answer it is not asked
    wrote OURS THEIRS       somebody here has written to that address
    sent MESSAGE-ID DOMAIN  a message of ours with that id went to that domain
    set attachments.allowed = ["url"]
                            a setting of filters.toml, of [filters], as TOML
    smtputf8                the transaction is one of RFC 6531
    taught                  the classifier has learned the messages of tests/classifier/support.py, 200 of each kind
    ---
    From: ...

In the message, `{{WHAT NAME...}}` stands for a file in base64 (`tests.filters.files` knows which), `{{repeat N TEXT}}`
for N times a text, and `{{U+202E}}` for a character that nobody would see here.

All filters run, with the shipped rules, example.org as our domain, Bob Rowe as one of our people, the lists of senders
in tests/evidence/senders, and the clock at 2026-11-02 10:00 UTC.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier.store import Learner
from mailgw.config.schema import Domain, FilterFile, Settings
from mailgw.filters import catalogue, runner
from mailgw.filters.classifier import directory_of
from mailgw.filters.correspondence import Known
from mailgw.filters.runner import FilterRunner
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.evidence import AuthResult
from mailgw.mail.transaction import Signal, SignalKind
from mailgw.operation.threads import ThreadsInline
from tests.classifier.support import sample
from tests.engines.support import EngineReactor
from tests.fakes import FakeResolver
from tests.filters.engine_answers import answer
from tests.filters.files import fill_in
from tests.filters.support import NOW, make_transaction

FOLDER = Path(__file__).parent.parent / "evidence"
RULES = Path(__file__).parent.parent.parent / "etc" / "rules.toml"


@define
class FakeCorrespondence:
    wrote: list[tuple[str, str]] = field(factory=list)
    sent: list[tuple[str, str]] = field(factory=list)

    async def look_up(
        self, author: Mailbox, recipients: Sequence[Mailbox], references: Sequence[str], since: tuple[float, float]
    ) -> Known:
        ours = [ours for ours, theirs in self.wrote if theirs == str(author)]
        return Known(
            any(str(mailbox) in ours for mailbox in recipients),
            bool(ours),
            any((message_id, author.domain) in self.sent for message_id in references),
        )


@define
class Case:
    place: str
    message: bytes
    expect: list[str] = field(factory=list)
    absent: list[str] = field(factory=list)
    nothing: bool = False
    changes: dict[str, Any] = field(factory=dict)
    auth: list[AuthResult] = field(factory=list)
    zone: dict[str, dict[str, list[object]]] = field(factory=dict)
    settings: str = ""
    engine: str = ""
    answer: str = ""
    correspondence: FakeCorrespondence = field(factory=lambda: FakeCorrespondence())
    taught: bool = False

    def take(self, line: str) -> None:
        word, _, value = line.partition(" ")
        value = value.strip()
        if word in ("expect", "absent"):
            getattr(self, word).append(value)
        elif word == "nothing":
            self.nothing = True
        elif word == "taught":
            self.taught = True
        elif word == "smtputf8":
            self.changes["smtputf8"] = True
        elif word == "signal":
            self.changes["signals"] = (*self.changes.get("signals", ()), Signal(cast(SignalKind, value), "seen"))
        elif word == "mail_from":
            self.changes["reverse_path"] = Mailbox.parse(value) if value else None
        elif word == "rcpt":
            recipients = self.changes.get("recipients", ())
            self.changes["recipients"] = (*recipients, Recipient(Mailbox.parse(value)))
        elif word == "auth":
            result, *properties = value.split()
            pairs = tuple(tuple(p.split("=", 1)) for p in properties)
            self.auth.append(AuthResult(*result.split("=", 1), cast(tuple[tuple[str, str], ...], pairs)))
        elif word == "dns":
            name, type, record = value.split(None, 2)
            self.zone.setdefault(name, {}).setdefault(type, []).append(record)
        elif word == "wrote":
            ours, theirs = value.split()
            self.correspondence.wrote.append((ours, theirs))
        elif word == "sent":
            message_id, domain = value.split()
            self.correspondence.sent.append((message_id, domain))
        elif word == "engine":
            self.engine, _, self.answer = value.partition(" ")
            place = 'servers.one.address = "unix:/one"' if self.engine == "milter" else 'addresses = ["unix:/one"]'
            self.settings += f"{self.engine}.enabled = true\n{self.engine}.{place}\n"
        elif word == "set":
            self.settings += f"{value}\n"
        elif word in ("helo", "client", "identity", "service"):
            self.changes["address" if word == "client" else word] = value
        elif word and not word.startswith("#"):
            raise ValueError(f"{self.place}: {word!r} is no word of a case")


def read_cases(path: Path) -> Iterator[Case]:
    for number, text in enumerate(re.split(rb"^===.*\n", path.read_bytes(), flags=re.M), 1):
        head, _, message = text.partition(b"\n---\n")
        case = Case(f"{path.name} case {number}", fill_in(message).replace(b"\n", b"\r\n"))
        for line in head.decode().split("\n"):
            case.take(line)
        if not (case.expect or case.absent or case.nothing):
            raise ValueError(f"{case.place} expects nothing")
        yield case


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Put a change of sections over others."""
    return {name: {**base.get(name, {}), **change.get(name, {})} for name in {**base, **change}}


class EvidenceTests(SynchronousTestCase):
    SETTINGS = Settings(hostname="mx.example.org", domains={"example.org": Domain()})
    FILTERS: Mapping[str, Any] = {
        "impersonation": {"people": ["Bob Rowe <bob.rowe@example.org>"]},
        "senders": {"file": str(FOLDER / "senders")},
    }

    def make_runner(self, case: Case) -> FilterRunner:
        self.reactor = EngineReactor()
        self.reactor.advance(NOW)
        filter_file = FilterFile(filters=merge(self.FILTERS, tomllib.loads(case.settings)))
        filters = catalogue.read(filter_file, "filters.toml", str(RULES)).make(
            evolve(self.SETTINGS, state_directory=self.taught() if case.taught else self.mktemp()),
            self.reactor,
            ThreadsInline(),
            FakeResolver(case.zone),
            case.correspondence,
        )
        return FilterRunner(filters, self.reactor)

    def taught(self) -> str:
        """Give a state directory with a classifier that has learned."""
        state = Path(self.mktemp())
        state.mkdir(parents=True)
        with Learner(directory_of(str(state))) as learner:
            for number in range(200):
                for spam in (True, False):
                    learner.learn(sample(number, spam=spam), spam=spam, source="command", now=float(number))
            learner.commit()
        return str(state)

    def setUp(self) -> None:
        self.runner = self.make_runner(Case("", b""))

    def check(self, case: Case) -> None:
        transaction = make_transaction(case.message, **case.changes)
        transaction.auth += case.auth
        runner = (
            self.make_runner(case)
            if case.settings or case.zone or case.taught or case.correspondence != FakeCorrespondence()
            else self.runner
        )
        running = Deferred.fromCoroutine(runner.run(transaction))
        if case.answer:
            self.reactor.accept().send(answer(case.engine, case.answer))
        self.successResultOf(running)
        stated = {e.symbol: e.detail for e in transaction.evidence}
        for symbol in case.expect:
            self.assertIn(symbol, stated, case.place)
        for symbol in case.absent:
            self.assertNotIn(symbol, stated, case.place)
        if case.nothing:
            self.assertEqual(stated, {}, case.place)

    def test_every_symbol_has_a_case_where_it_must_be_and_one_where_it_must_not(self) -> None:
        cases = [case for path in FOLDER.glob("*.txt") for case in read_cases(path)]
        self.assertGreaterEqual(len(cases), 100)
        expected = {symbol for case in cases for symbol in case.expect}
        absent = {symbol for case in cases for symbol in case.absent}
        read = catalogue.read(FilterFile(), "filters.toml", str(RULES))
        symbols = {symbol for entry in catalogue.FILTERS for symbol in entry.filter.symbols} | set(read.rules.scores)
        symbols |= set(runner.SYMBOLS)
        self.assertEqual(sorted(symbols - expected - set(runner.SYMBOLS)), [], "symbols that no case expects")
        self.assertEqual(sorted(symbols - absent - set(runner.SYMBOLS)), [], "symbols that no case says to be absent")
        self.assertEqual(sorted((expected | absent) - symbols), [], "symbols that nobody states")


def _test_of(path: Path) -> Callable[[EvidenceTests], None]:
    def test(self: EvidenceTests) -> None:
        for case in read_cases(path):
            self.check(case)

    return test


for _path in sorted(FOLDER.glob("*.txt")):
    setattr(EvidenceTests, f"test_{_path.stem}", _test_of(_path))
