"""Each SPF suite of the OpenSPF shape (`spf/*.yml`) through a running gateway. Prints how many cases hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mailgw.dns.wire import parse_name
from tests.conformance.gateway import Letter, Outcome, SuiteTestCase
from tests.conformance.suites import SUITES, scenarios, skip_reason

PATTERN = "spf/*.yml"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")


def zone_of(zonedata: Mapping[str, list[Any]]) -> tuple[dict[str, dict[str, list[str]]], list[str]]:
    """Give the suite's zone as the DNS server takes it, and the names that time out but for what stands there."""
    zone: dict[str, dict[str, list[str]]] = {}
    silent = []
    for text, entries in zonedata.items():
        name = parse_name(text)
        if name is None:
            continue  # DNS has no such name, and nobody can ask for it
        types: dict[str, list[str]] = {}
        for entry in entries:
            if entry == "TIMEOUT":
                silent.append(name.to_text(omit_final_dot=True).lower())
                break
            for type, value in entry.items():
                if value != "NONE" and (record := _record(type, value)) is not None:
                    types.setdefault(type, []).append(record)
        # A name with SPF but no TXT serves the SPF value as TXT too.
        if not any("TXT" in entry for entry in entries):
            types["TXT"] = types.get("SPF", [])
        types.pop("SPF", None)
        zone[name.to_text(omit_final_dot=True).lower()] = {type: records for type, records in types.items() if records}
    return zone, silent


def _record(type: str, value: Any) -> str | None:
    if type in ("TXT", "SPF"):
        return value if isinstance(value, str) else "".join(value)
    if type in ("A", "AAAA"):
        return str(value)
    name = parse_name(value[1] if type == "MX" else value)
    if name is None:
        return None
    return f"{value[0]} {name.to_text()}" if type == "MX" else name.to_text()


def address(sender: str) -> str:
    """Write the sender of a case as SMTP has it: a local part that is no dot-string in quotes (RFC 5321 4.1.2)."""
    local_part, at, domain = sender.rpartition("@")
    if not at or _DOT_STRING.fullmatch(local_part):
        return sender
    escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"@{domain}'


class SpfGatewayTests(SuiteTestCase):
    skip = skip_reason(PATTERN)

    async def test_suites(self) -> None:
        await self.begin()
        problems = []
        for path in sorted(SUITES.glob(PATTERN)):
            wrong, refused, total = await self.run_suite(path)
            print(f"\n    SPF: {total - len(wrong)} of {total} cases of {path.name} hold through the gateway", end="")
            print(f", {refused} of them refused before SPF could say none")
            problems += wrong
        self.assertEqual("\n".join(problems), "")

    async def run_suite(self, path: Path) -> tuple[list[str], int, int]:
        wrong, refused, total = [], 0, 0
        for scenario in scenarios(path):
            self.serve(*zone_of(scenario["zonedata"]))
            cases = scenario["tests"]
            letters = [
                Letter(name, str(case["host"]), str(case["helo"]), address(case["mailfrom"]))
                for name, case in cases.items()
            ]
            outcomes = await self.deliver(letters)
            for letter, case, outcome in zip(letters, cases.values(), outcomes, strict=True):
                expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
                problem = self.problem(outcome, expected, "mailfrom" if letter.mail_from else "helo")
                total += 1
                refused += bool(outcome.refused)
                if problem:
                    wrong.append(f"{scenario['description']}: {letter.name}: {problem}")
        return wrong, refused, total

    @staticmethod
    def problem(outcome: Outcome, expected: list[str], identity: str) -> str:
        if outcome.refused:
            # What is no address by RFC 5321 4.1.2 is refused at MAIL; RFC 7208 4.3 would have none for it.
            return "" if "none" in expected and outcome.refused.startswith("501") else outcome.refused
        found = outcome.of("spf", **{f"smtp_{identity}": ""})
        results = [result.result for result in found]
        # The two fields say the same (RFC 7208 9.1 and 9.2).
        if outcome.received_spf != tuple(result.result for result in outcome.of("spf")):
            return f"{outcome.results} is not {outcome.received_spf}"
        return "" if len(results) == 1 and results[0] in expected else f"{outcome.results} is not {expected}"
