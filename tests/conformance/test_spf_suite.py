"""The OpenSPF suite for RFC 7208: 203 cases. Prints how many hold."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.interface import Answer, DnsFailure, MxRecord, Record, RecordType
from mailgw.senderauth.spf import Spf
from tests.conformance.suites import SUITES, scenarios, skip_reason

NAME = "spf/rfc7208-tests.yml"


class SuiteResolver:
    """DNS as the suite's `zonedata` has it: a list of {type: value} for each name, or the word TIMEOUT in it.

    With `late` set, it answers only when it is told to: as DNS does, while without it does as a warm cache does.
    """

    def __init__(self, zonedata: dict[str, list[Any]]) -> None:
        self.zone = {name.lower().rstrip("."): entries for name, entries in zonedata.items()}
        self.late = False
        self.waiting: list[Deferred[None]] = []

    async def lookup(self, name: str, type: RecordType) -> Answer:
        if self.late:
            waiting: Deferred[None] = Deferred()
            self.waiting.append(waiting)
            await waiting
        return self.answer(name, type)

    def answer_all(self) -> None:
        """Answer what was asked since the last time."""
        waiting, self.waiting = self.waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def answer(self, name: str, type: RecordType) -> Answer:
        entries = self.zone.get(name.lower())
        for _ in range(10):
            if entries is None:
                return Answer(exists=False)
            records = []
            alias = None
            for entry in entries:
                if entry == "TIMEOUT":  # what no entry before it has
                    if not records:
                        raise DnsFailure(f"{type} {name}: no answer")
                    break
                if type in entry and entry[type] != "NONE":
                    records.append(_record(type, entry[type]))
                alias = entry.get("CNAME", alias)
            # A name with SPF but no TXT serves the SPF value as TXT too.
            if type == "TXT" and not any("TXT" in entry for entry in entries):
                records = [_record("TXT", entry["SPF"]) for entry in entries if "SPF" in entry]
            if records or alias is None:
                return Answer(tuple(records))
            entries = self.zone.get(alias.lower().rstrip("."))
        return Answer()


def _record(type: str, value: Any) -> Record:
    if type == "TXT":
        strings = [value] if isinstance(value, str) else value
        return b"".join(s.encode("utf-8") for s in strings)
    if type == "MX":
        return MxRecord(value[0], value[1].rstrip("."))
    return str(value).rstrip(".")


class SpfSuiteTests(SynchronousTestCase):
    skip = skip_reason(NAME)

    def test_suite(self) -> None:
        self.run_suite(late=False)

    def test_suite_with_answers_that_come_late(self) -> None:
        self.run_suite(late=True)

    def run_suite(self, late: bool) -> None:
        total = 0
        wrong = []
        for scenario in scenarios(SUITES / NAME):
            resolver = SuiteResolver(scenario["zonedata"])
            resolver.late = late
            for name, case in scenario["tests"].items():
                total += 1
                problem = self.problem(resolver, case)
                if problem:
                    wrong.append(f"{scenario['description']}: {name}: {problem}")
        print(f"\n    SPF: {total - len(wrong)} of {total} cases of the OpenSPF suite hold")
        if wrong:
            self.fail("\n".join(wrong))
        self.assertEqual(total, 203)

    def problem(self, resolver: SuiteResolver, case: dict[str, Any]) -> str:
        sender = case["mailfrom"] or f"postmaster@{case['helo']}"
        local_part, _, domain = sender.rpartition("@")
        check = Spf(resolver, "receiver.example").check(case["host"], local_part or "postmaster", domain, case["helo"])
        checking = Deferred.fromCoroutine(check)
        while resolver.waiting:
            resolver.answer_all()
        outcome = self.successResultOf(checking)
        expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
        if outcome.result not in expected:
            return f"{outcome} is not {expected}"
        explanation = case.get("explanation")
        if explanation not in (None, "DEFAULT") and outcome.explanation != explanation:
            return f"the explanation is {outcome.explanation!r}, not {explanation!r}"
        return ""
