"""What an SPF record costs those who evaluate it, and how it ends (RFC 7208 4.6.4, 5.1)."""

from __future__ import annotations

import re

from attrs import field, frozen

from mailgw.dns.interface import Resolver
from mailgw.dns.questions import texts_of

MAX_DEPTH = 10
# Far beyond the limit of 10: a record that costs more need not be counted out.
MAX_LOOKUPS = 40

_TERM = re.compile(r"([+?~-]?)([a-z]+)(?:([:=])([^/]*))?(?:/.*)?", re.I)
_LOOKUPS = frozenset({"include", "a", "mx", "ptr", "exists"})


@frozen
class Terms:
    """`lookups` are the terms that take DNS, in all records together; `ending` is the qualified `all`, or `redirect`,
    or empty; `mechanisms` are the names of those that the record itself has."""

    lookups: int = 0
    ending: str = ""
    mechanisms: frozenset[str] = field(factory=frozenset)


async def read_terms(resolver: Resolver, record: str, depth: int = 0) -> Terms:
    """Follow a record with what it includes. Raises DnsFailure."""
    lookups, ending, redirect, names = 0, "", "", set()
    for text in record.split()[1:]:
        term = _TERM.fullmatch(text)
        if term is None:
            continue
        qualifier, name, separator, value = term[1], term[2].lower(), term[3], term[4]
        if name == "redirect" and separator == "=":
            redirect = value
            continue
        names.add(name)
        if name == "all":
            ending = f"{qualifier or '+'}all"
            break
        if name in _LOOKUPS:
            lookups += 1
            if name == "include" and value:
                lookups += await _below(resolver, value, depth, lookups)
    if redirect and not ending:
        below = await _record_of(resolver, redirect) if depth < MAX_DEPTH and "%" not in redirect else ""
        inner = await read_terms(resolver, below, depth + 1) if below else Terms()
        return Terms(lookups + 1 + inner.lookups, inner.ending or "redirect", frozenset(names))
    return Terms(lookups, ending, frozenset(names))


async def _below(resolver: Resolver, domain: str, depth: int, lookups: int) -> int:
    # A macro depends on the message: what it leads to cannot be counted here.
    if depth >= MAX_DEPTH or lookups > MAX_LOOKUPS or "%" in domain:
        return 0
    record = await _record_of(resolver, domain)
    return (await read_terms(resolver, record, depth + 1)).lookups if record else 0


async def _record_of(resolver: Resolver, domain: str) -> str:
    found = spf_records(await texts_of(resolver, domain))
    return found[0] if len(found) == 1 else ""


def spf_records(texts: tuple[bytes, ...]) -> list[str]:
    """Give those that are SPF records (RFC 7208 4.5)."""
    return [text.decode("latin-1") for text in texts if re.match(rb"v=spf1(?: |\Z)", text, re.I)]
