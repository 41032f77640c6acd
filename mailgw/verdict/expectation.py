"""Expectation tests: files with a message, or with evidence, and the verdict that it must get. Pure.

A file is a few words a line, then a line `---`, then the message as it is:

    # why it is here
    client 192.0.2.10           the client's address; also: helo NAME, mail_from ADDRESS (<>: the null one),
    rcpt bob@example.org        may stand several times; user NAME: submitted by that user
    at 2026-11-02T10:00:00      the time (UTC); by default that of Date
    dns sender.example TXT "v=spf1 ip4:192.0.2.10 -all"
    dns 192.0.2.10 PTR mail.sender.example
    expect verdict inbox        or: expect verdict spam for bob@example.org
    expect symbol SPF_PASS      or: expect not symbol GTUBE
    expect score < 3            also >, <=, >=
    ---
    From: ...

DNS is asked nowhere: what is not written here does not exist. `evidence SYMBOL STRENGTH SOURCE DETAIL` states what was
found elsewhere: sender authentication is left out then, and without a message the filters too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from operator import ge, gt, le, lt
from typing import Literal, get_args

from attrs import define, evolve, field

from mailgw.config.errors import ConfigError
from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client, Transaction
from mailgw.mail.verdict import Action
from mailgw.verdict.judgement import Judged

_NEWLINE = re.compile(rb"\r\n|\r|\n")
_COMPARE: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
Kind = Literal["verdict", "symbol", "not symbol", "score"]


@define
class Expectation:
    """One line `expect`. `value` is an action, a symbol, or a comparison with `limit`; `recipient` may be empty."""

    line: int
    kind: Kind
    value: str
    limit: float = 0.0
    recipient: str = ""


@define
class Case:
    """A file, read. `errors` is what is wrong with it: then it is not to be judged."""

    file: str
    client: Client = field(factory=lambda: Client("test", "mx", "192.0.2.1", helo="localhost", esmtp=True))
    mail_from: Mailbox | None = None
    recipients: list[Mailbox] = field(factory=list)
    time: float | None = None
    dns: list[tuple[int, str]] = field(factory=list)
    """The records with their lines, for `dns.zone`."""
    evidence: list[Evidence] = field(factory=list)
    expectations: list[Expectation] = field(factory=list)
    message: Message | None = None
    errors: list[ConfigError] = field(factory=list)

    def transaction(self) -> Transaction:
        recipients = tuple(Recipient(mailbox) for mailbox in self.recipients)
        return Transaction("TEST", self.client, Envelope(self.mail_from, recipients), self.message)

    def wrong(self, line: int, message: str) -> None:
        self.errors.append(ConfigError(self.file, "", message, line))

    @property
    def now(self) -> float | None:
        """The time at which it is judged: as it says, else that of Date."""
        date = None if self.message is None else self.message.get("date")
        if self.time is not None or date is None:
            return self.time
        try:
            return parsedate_to_datetime(date.text).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None


def read_case(file: str, data: bytes) -> Case:
    """Read a file; never raises."""
    case = Case(file)
    head, divider, content = re.sub(rb"\r\n", b"\n", data).partition(b"\n---\n")
    if divider:
        # Behind the divider the message is as it is, but for line ends, which files seldom keep.
        case.message = Message.from_bytes(_NEWLINE.sub(b"\r\n", content))
    for number, line in enumerate(head.decode(errors="replace").split("\n"), 1):
        word, _, value = line.strip().partition(" ")
        if word and not word.startswith("#"):
            try:
                _take(case, number, word, value.strip())
            except ValueError as error:
                case.wrong(number, str(error))
    if case.message is None and not case.evidence and not case.errors:
        case.wrong(1, "there is no message behind a line `---`, and no line `evidence`")
    if not case.expectations and not case.errors:
        case.wrong(1, "it expects nothing; write a line such as: expect verdict inbox")
    return case


def _take(case: Case, number: int, word: str, value: str) -> None:
    if word == "client":
        case.client = evolve(case.client, address=value)
    elif word == "helo":
        case.client = evolve(case.client, helo=value)
    elif word == "user":
        case.client = evolve(case.client, identity=value, service="submission")
    elif word == "mail_from":
        case.mail_from = None if value in ("", "<>") else _address(value)
    elif word == "rcpt":
        case.recipients.append(_address(value))
    elif word == "at":
        moment = datetime.fromisoformat(value)
        case.time = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    elif word == "dns":
        case.dns.append((number, value))
    elif word == "evidence":
        case.evidence.append(_evidence(value))
    elif word == "expect":
        case.expectations.append(_expectation(number, value))
    else:
        known = "client, helo, user, mail_from, rcpt, at, dns, evidence, expect"
        raise ValueError(f"{word!r} is no word of a test; there are: {known}")


def _address(text: str) -> Mailbox:
    try:
        return Mailbox.parse(text.removeprefix("<").removesuffix(">"))
    except AddressError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _evidence(text: str) -> Evidence:
    symbol, strength, source, detail = [*text.split(" ", 3), "", "", ""][:4]
    try:
        return Evidence(symbol, detail, float(strength or 1.0), "" if source == "-" else source)
    except ValueError:
        raise ValueError("write evidence SYMBOL STRENGTH SOURCE DETAIL, with a STRENGTH from 0 to 1") from None


def _expectation(number: int, text: str) -> Expectation:
    words = text.split()
    if len(words) in (2, 4) and words[0] == "verdict" and (len(words) == 2 or words[2] == "for"):
        if words[1] not in get_args(Action):
            raise ValueError(f"{words[1]!r} is no verdict; there are: {', '.join(get_args(Action))}")
        return Expectation(number, "verdict", words[1], recipient=words[3].lower() if len(words) == 4 else "")
    if len(words) == 2 and words[0] == "symbol":
        return Expectation(number, "symbol", words[1])
    if len(words) == 3 and words[:2] == ["not", "symbol"]:
        return Expectation(number, "not symbol", words[2])
    if len(words) == 3 and words[0] == "score" and words[1] in _COMPARE:
        return Expectation(number, "score", words[1], float(words[2]))
    raise ValueError("write expect verdict V, expect verdict V for ADDRESS, expect [not] symbol S, or expect score < N")


def failures(case: Case, judged: Sequence[Judged]) -> list[ConfigError]:
    """Give the expectations that do not hold."""
    found = []
    for expectation in case.expectations:
        problem = _problem(case, expectation, judged)
        if problem:
            found.append(ConfigError(case.file, "", problem, expectation.line))
    return found


def _problem(case: Case, wanted: Expectation, judged: Sequence[Judged]) -> str:
    concerned = [one for one in judged if not wanted.recipient or _is_for(case, one, wanted.recipient)]
    if not concerned:
        return f"there is no rcpt {wanted.recipient}"
    for one in concerned:
        verdict = one.verdict
        symbols = [line.symbol for line in verdict.lines]
        why = ", ".join(f"{line.symbol} {line.points:+.2f}" for line in verdict.lines if line.points or line.rule)
        if wanted.kind == "verdict" and verdict.action != wanted.value:
            return f"expected verdict {wanted.value}, got {verdict.action}: {verdict.reason} ({why or 'no points'})"
        if wanted.kind == "symbol" and wanted.value not in symbols:
            return f"expected symbol {wanted.value}, got {', '.join(symbols) or 'none'}"
        if wanted.kind == "not symbol" and wanted.value in symbols:
            return f"did not expect symbol {wanted.value}"
        if wanted.kind == "score" and not _COMPARE[wanted.value](verdict.score, wanted.limit):
            return f"expected score {wanted.value} {wanted.limit:g}, got {verdict.score:.2f} ({why or 'no points'})"
    return ""


def _is_for(case: Case, judged: Judged, recipient: str) -> bool:
    return any(str(case.recipients[number]).lower() == recipient for number in judged.recipients)
