"""Evidence that is not about all recipients: who is judged by what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mailgw.mail.evidence import Evidence
from mailgw.verdict.policy import Policy

Group = tuple[Policy, tuple[int, ...]]
"""A policy, and the positions in the envelope of the recipients whose it is."""


def divide(groups: Sequence[Group], evidence: Iterable[Evidence]) -> list[Group]:
    """Divide groups of recipients where a piece of evidence is about some of a group and not about the others."""
    divided = list(groups)
    for piece in evidence:
        if piece.recipients:
            divided = [part for group in divided for part in _cut(group, frozenset(piece.recipients))]
    return divided


def _cut(group: Group, concerned: frozenset[int]) -> Iterable[Group]:
    policy, numbers = group
    inside = tuple(number for number in numbers if number in concerned)
    outside = tuple(number for number in numbers if number not in concerned)
    return [(policy, part) for part in (inside, outside) if part]


def concerning(evidence: Iterable[Evidence], numbers: Sequence[int]) -> list[Evidence]:
    """Give the evidence that is about the recipients of a divided group."""
    return [piece for piece in evidence if not piece.recipients or not set(numbers).isdisjoint(piece.recipients)]
