"""The site's rules: etc/rules.toml into compiled patterns, with every error at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import re2
from attrs import field, frozen

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.structure import structure_leniently
from mailgw.config.text import read_text, read_toml

# The places that a rule may look at, beside `header:NAME`.
PLACES = ("subject", "from", "to", "body", "url", "attachment", "mail_from", "rcpt", "helo", "client")
FLAGS = "ims"
_REQUIRED = ("symbol", "where", "pattern", "score")
MAX_RULES = 5000
_SYMBOL = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_HEADER = re.compile(r"header:([!-9;-~]+)")
_TABLE = re.compile(r"\s*\[\[\s*rule\s*\]\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
_SET_MEMORY = 64 * 1024 * 1024
"""Octets that RE2 may use for the automaton of one place's patterns."""


@frozen
class RuleTable:
    """One [[rule]] of rules.toml. The first four keys must be there; they have defaults so that one that is missing
    or wrong does not hide what is wrong with the others."""

    symbol: str = ""
    where: str = ""
    pattern: str = ""
    score: float = 0.0
    description: str = ""
    flags: str = ""
    unless: str = ""


@frozen
class Rule:
    """A rule, compiled. It holds for a text in which `pattern` is found and `unless`, if there is one, is not."""

    symbol: str
    place: str
    score: float
    description: str
    pattern: re2._Regexp
    unless: re2._Regexp | None


@frozen
class PlaceRules:
    """All rules of one place. `first` finds in one pass which of them a text is for."""

    rules: tuple[Rule, ...]
    first: re2.Set

    def match(self, text: bytes) -> list[Rule]:
        """Give the rules that hold for a text (UTF-8), `unless` not yet looked at."""
        found = self.first.Match(text)
        if not found:
            # The last pattern of the set matches everything: RE2 has no memory left, and says so in no other way.
            raise RuntimeError(f"the patterns of {self.rules[0].place} need more memory than RE2 may use")
        count = len(self.rules)
        return [self.rules[n] for n in sorted(found) if n < count]


@frozen
class RuleSet:
    """The rules by place; `header:` names are in lower case, and `subject`, `from`, `to` are `header:` too."""

    places: Mapping[str, PlaceRules] = field(factory=dict)

    @property
    def scores(self) -> dict[str, float]:
        """The weight of each rule's symbol."""
        return {rule.symbol: rule.score for place in self.places.values() for rule in place.rules}


def load_rules(path: str, taken: Iterable[str] = ()) -> RuleSet:
    """Read rules.toml. `taken` are symbols that rules may not use, because filters state them.

    Raises ConfigurationErrors with everything that is wrong: file, line, rule, key and reason.
    """
    table = read_toml(path)
    reader = _Reader(path, frozenset(taken))
    rules = reader.read(table)
    if reader.errors:
        raise ConfigurationErrors(reader.errors)
    by_place: dict[str, list[Rule]] = {}
    for rule in rules:
        by_place.setdefault(rule.place, []).append(rule)
    places = {}
    for place, found in by_place.items():
        try:
            places[place] = PlaceRules(tuple(found), _make_set(found))
        except re2.error:
            reason = f"the patterns of {place} are too many or too large together; make counted repetitions smaller"
            raise ConfigurationErrors([ConfigError(path, "rule", reason)]) from None
    return RuleSet(places)


class _Reader:
    """Reads the tables of one file; what is wrong is in `errors`."""

    def __init__(self, path: str, taken: frozenset[str]) -> None:
        self.errors: list[ConfigError] = []
        self._path = path
        self._taken = taken
        self._lines = _find_lines(read_text(path))
        self._seen: dict[str, int] = {}

    def read(self, data: Mapping[str, Any]) -> list[Rule]:
        for key in sorted(set(data) - {"rule"}):
            self.errors.append(ConfigError(self._path, key, "unknown key; this file holds [[rule]] tables only"))
        tables = data.get("rule", [])
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            self.errors.append(ConfigError(self._path, "rule", "expected [[rule]] tables, with two brackets"))
            return []
        if len(tables) > MAX_RULES:
            self.errors.append(ConfigError(self._path, "rule", f"{len(tables)} rules; at most {MAX_RULES} are read"))
            return []
        return [rule for n, t in enumerate(tables, 1) if (rule := self._rule(n, t)) is not None]

    def _rule(self, number: int, data: Mapping[str, Any]) -> Rule | None:
        symbol = data.get("symbol")
        name = f"rule {number} ({symbol})" if isinstance(symbol, str) else f"rule {number}"
        table, errors = structure_leniently(RuleTable, data, self._path)
        found = [(key, "the key is missing") for key in _REQUIRED if key not in data]
        found += [(error.key, error.message) for error in errors]
        pattern = unless = None
        if table is not None:
            wrong = {key for key, _ in found}
            found += [(key, message) for key, message in self._check(table, number) if key not in wrong]
            if "pattern" not in wrong:
                pattern = self._compile(table.pattern, table.flags, "pattern", found)
            if table.unless:
                unless = self._compile(table.unless, table.flags, "unless", found)
        for key, message in found:
            line = self._lines.get((number, key)) or self._lines.get((number, ""), 0)
            self.errors.append(ConfigError(self._path, f"{name}: {key}", message, line))
        if table is None or found:
            return None
        return Rule(table.symbol, _place(table.where), table.score, table.description, pattern, unless)

    def _check(self, table: RuleTable, number: int) -> Iterator[tuple[str, str]]:
        if not _SYMBOL.fullmatch(table.symbol):
            yield "symbol", f'"{table.symbol}" is no symbol; write capitals, digits and _ such as SITE_OFFER'
        elif table.symbol in self._taken:
            yield "symbol", f"{table.symbol} is a symbol of a filter; take another name"
        elif table.symbol in self._seen:
            yield "symbol", f"{table.symbol} is also that of rule {self._seen[table.symbol]}; take another name"
        else:
            self._seen[table.symbol] = number
        if table.where not in PLACES and not _HEADER.fullmatch(table.where):
            near = get_close_matches(table.where, PLACES, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            yield "where", f'expected header:NAME or one of {", ".join(PLACES)}, got "{table.where}"{hint}'
        unknown = sorted(set(table.flags) - set(FLAGS))
        if unknown:
            yield (
                "flags",
                f"unknown: {', '.join(unknown)}; i ignores case, m takes ^ and $ at lines, s lets . match line ends",
            )

    def _compile(self, pattern: str, flags: str, key: str, found: list[tuple[str, str]]) -> Any:
        try:
            compiled = re2.compile(_flagged(pattern, flags), _options())
        except re2.error as error:
            reason = error.args[0] if error.args else error
            text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            found.append((key, f"RE2 says: {text}"))
            return None
        if key == "pattern" and compiled.search("") and compiled.search("\u2603"):
            # Mostly an empty branch: `foo|` holds for every message that there is.
            found.append((key, "matches every text; is there an empty branch, as in (a|)?"))
        return compiled


def _place(where: str) -> str:
    if where in ("subject", "from", "to"):
        return f"header:{where}"
    return where.lower() if where.startswith("header:") else where


def _flagged(pattern: str, flags: str) -> str:
    known = "".join(sorted(set(flags) & set(FLAGS)))
    return f"(?{known}:{pattern})" if known else pattern


def _options(memory: int = 0) -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # to standard error, past our log
    if memory:
        options.max_mem = memory
    return options


def _make_set(rules: Iterable[Rule]) -> re2.Set:
    """Compile the patterns of a place into one automaton. Raises re2.error when it would be too large."""
    made = re2.Set.SearchSet(_options(_SET_MEMORY))
    for rule in rules:
        made.Add(rule.pattern.pattern)
    made.Add("")  # see PlaceRules.match
    made.Compile()
    return made


def _find_lines(text: str) -> dict[tuple[int, str], int]:
    """Give the line of each rule's table (key "") and of its keys, by the rule's number from 1."""
    lines: dict[tuple[int, str], int] = {}
    number = 0
    for line_number, line in enumerate(text.split("\n"), 1):
        if _TABLE.match(line):
            number += 1
            lines[number, ""] = line_number
        elif key := _KEY.match(line):
            lines.setdefault((number, key.group(1)), line_number)
    return lines
