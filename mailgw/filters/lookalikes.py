"""Domains that look like others."""

from __future__ import annotations

from collections.abc import Iterable

from mailgw.filters.domains import registered_domain, unicode_host
from mailgw.filters.letters import skeleton

_MIN_LENGTH = 6
"""Letters of a name from which on one letter more, less, or other makes it a look-alike: short names have honest
neighbours."""


class Lookalikes:
    """Finds which of some domains a name looks like."""

    def __init__(self, domains: Iterable[str]) -> None:
        self._domains = tuple(dict.fromkeys(d.lower() for d in domains))
        self._skeletons = {skeleton(unicode_host(d)): d for d in reversed(self._domains)}
        # By the length of the name that was registered, the suffix left away.
        self._names: dict[int, dict[str, str]] = {}
        for domain in reversed(self._domains):
            name = _name(registered_domain(domain))
            self._names.setdefault(len(name), {})[name] = domain

    def find(self, name: str) -> str:
        """Give the domain that a host's name (A-labels, lower case) looks like, or an empty string.

        It does when it has the same letters but for such that look alike, when the name that was registered differs in
        one letter, or when it goes on behind the whole domain (`example.org.evil.example`).
        """
        registered = registered_domain(name)
        bare = _name(registered)
        if bare in self._names.get(len(bare), {}):
            return ""  # itself, or the same name under another suffix: mostly the same owner
        for domain in self._domains:
            if f".{domain}." in f".{name}":
                return domain
        shape = skeleton(unicode_host(registered))
        if shape in self._skeletons:
            return self._skeletons[shape]
        shaped = _name(shape)
        for length in (len(bare) - 1, len(bare), len(bare) + 1):
            for other, domain in self._names.get(length, {}).items():
                if skeleton(other) == shaped or (len(other) >= _MIN_LENGTH and _differ_by_one(bare, other)):
                    return domain
        return ""


def _name(domain: str) -> str:
    return domain.partition(".")[0]


def _differ_by_one(one: str, other: str) -> bool:
    """Whether one letter less or other, or two neighbours exchanged, make one the other."""
    if len(one) == len(other):
        different = [n for n in range(len(one)) if one[n] != other[n]]
        if len(different) == 2 and different[1] == different[0] + 1:
            first, second = different
            return one[first] == other[second] and one[second] == other[first]
        return len(different) == 1
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    if len(longer) != len(shorter) + 1:
        return False
    start = next((n for n in range(len(shorter)) if longer[n] != shorter[n]), len(shorter))
    return longer[start + 1 :] == shorter[start:]
