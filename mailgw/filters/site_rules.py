"""The site's own rules (etc/rules.toml): patterns on fields, text, links and the envelope, each with a symbol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from mailgw.filters.anatomy import Anatomies, Anatomy
from mailgw.filters.base import FilterSettings
from mailgw.filters.charset import decode_value
from mailgw.filters.rules import PlaceRules, Rule, RuleSet
from mailgw.filters.text import show
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction

_MAX_VALUE = 64 * 1024
"""Octets of a field that are looked at."""


class SiteRules:
    """States the symbol of each rule that holds, with what it matched.

    A rule holds when it holds for one of the texts of its place: one of the fields of that name, one of the URLs.
    The message is taken apart only when a rule looks into it.
    """

    name: ClassVar[str] = "site_rules"
    symbols: ClassVar[Mapping[str, float]] = {}  # the rules have theirs

    def __init__(self, settings: FilterSettings, rules: RuleSet, anatomies: Anatomies) -> None:
        self.settings = settings
        self._anatomies = anatomies
        places = rules.places
        self._headers = {place[7:]: found for place, found in places.items() if place.startswith("header:")}
        self._inside = {place: places[place] for place in ("body", "url", "attachment") if place in places}
        self._envelope = {
            place: found for place, found in places.items() if place not in self._inside and ":" not in place
        }

    async def check(self, transaction: Transaction) -> list[Evidence]:
        evidence: list[Evidence] = []
        for place, rules in self._envelope.items():
            evidence += _apply(rules, _envelope_values(place, transaction))
        message = transaction.message
        if message is None:
            return evidence
        if self._headers:
            evidence += self._check_header(message)
        if self._inside:
            evidence += await self._anatomies.run(transaction, self._check_inside)
        return evidence

    def _check_header(self, message: Message) -> Iterator[Evidence]:
        values: dict[str, list[bytes]] = {}
        for f in message.fields:
            key = f.name.lower()
            if key in self._headers:
                values.setdefault(key, []).append(_encode(decode_value(f.value[:_MAX_VALUE])))
        for key, found in values.items():
            yield from _apply(self._headers[key], found)

    def _check_inside(self, anatomy: Anatomy) -> list[Evidence]:
        return [e for place, rules in self._inside.items() for e in _apply(rules, _text_values(place, anatomy))]


def _envelope_values(place: str, transaction: Transaction) -> list[bytes]:
    envelope = transaction.envelope
    if place == "rcpt":
        return [_encode(str(r.forward_path)) for r in envelope.recipients]
    if place == "mail_from":
        return [_encode(str(envelope.reverse_path or ""))]  # the null reverse-path is empty
    return [_encode(transaction.client.helo if place == "helo" else transaction.client.address)]


def _text_values(place: str, anatomy: Anatomy) -> list[bytes]:
    if place == "body":
        return [_encode(anatomy.body)]
    return [_encode(value) for value in (anatomy.urls if place == "url" else anatomy.attachments)]


def _apply(rules: PlaceRules, values: Iterable[bytes]) -> Iterator[Evidence]:
    stated: set[str] = set()
    for value in values:
        for rule in rules.match(value):
            if rule.symbol not in stated and not (rule.unless and rule.unless.search(value)):
                stated.add(rule.symbol)
                yield Evidence(rule.symbol, _detail(rule, value))


def _detail(rule: Rule, value: bytes) -> str:
    match = rule.pattern.search(value)
    seen = show(match.group().decode("utf-8", "replace")) if match else ""
    where = rule.place.removeprefix("header:")
    found = f"{seen} in {where}" if seen != '""' else where
    return f"{rule.description}: {found}" if rule.description else found


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # some charsets decode to lone surrogates
