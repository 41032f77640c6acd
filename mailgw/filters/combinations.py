"""Combinations of symbols as filters.toml has them, checked. What they do to a verdict stands in `verdict`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

from mailgw.config.schema import Combination

_SYMBOL = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def find_faults(name: str, combination: Combination, stated: Set[str]) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a combination of this name, as pairs of the key (`.instead[0]`, or empty) and the reason.

    `stated` are the symbols that filters, rules and other steps state.
    """
    if not _SYMBOL.fullmatch(name):
        yield "", "is no symbol; write capitals, digits and _ such as [combinations.SITE_FRAUD]"
    elif name in stated:
        yield "", "is a symbol that a filter or a rule states; take another name"
    if not combination.enabled:
        return
    if not combination.all and not combination.any:
        yield "", "names no symbols; set `all` or `any`, or `enabled = false`"
    parts = (*combination.all, *combination.any)
    for number, symbol in enumerate(combination.instead):
        if symbol not in parts:
            yield f".instead[{number}]", f"{symbol} is in neither `all` nor `any`"
    for symbol in combination.none:
        if symbol in parts:
            yield ".none", f"{symbol} must be there and must not be there"
