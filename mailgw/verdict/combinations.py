"""Combinations: what several symbols say together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from attrs import evolve

from mailgw.config.schema import Combination
from mailgw.mail.verdict import Action, VerdictLine

SOURCE = "combination"


class Weighing(Protocol):
    """The policy, as far as it matters here (`verdict.policy.Policy`)."""

    @property
    def weights(self) -> Mapping[str, float]: ...
    @property
    def rules(self) -> Mapping[str, Action]: ...
    @property
    def combinations(self) -> Mapping[str, Combination]: ...


def combine(lines: Iterable[VerdictLine], policy: Weighing) -> list[VerdictLine]:
    """Add a line for each combination that holds, and take the points of the lines that it counts `instead`.

    Combinations see the symbols of `lines` only, not each other's. A line whose points were taken says by whom; a hard
    rule for its symbol still holds.
    """
    by_symbol = {line.symbol: line for line in lines}
    stated = frozenset(by_symbol)
    for name, combination in policy.combinations.items():
        if not _holds(combination, stated):
            continue
        parts = [symbol for symbol in (*combination.all, *combination.any) if symbol in stated]
        detail = " and ".join(dict.fromkeys(parts))
        if combination.description:
            detail = f"{combination.description}: {detail}"
        weight = policy.weights.get(name, combination.score)
        points = round(weight * 100) / 100
        by_symbol[name] = VerdictLine(name, detail, SOURCE, weight, 1.0, points, 0.0, rule=policy.rules.get(name, ""))
        for symbol in combination.instead:
            line = by_symbol.get(symbol)
            if line is not None and line.points:
                detail = f"{line.detail} (counted in {name})".lstrip()
                by_symbol[symbol] = evolve(line, points=0.0, detail=detail)
    return list(by_symbol.values())


def _holds(combination: Combination, stated: frozenset[str]) -> bool:
    return (
        stated.issuperset(combination.all)
        and (not combination.any or not stated.isdisjoint(combination.any))
        and stated.isdisjoint(combination.none)
    )
