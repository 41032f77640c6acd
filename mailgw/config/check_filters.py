"""What the types cannot say of filters.toml: bounds, thresholds in their order, and names that are addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from mailgw.config.check import Finding, check_bounds
from mailgw.config.schema import FilterFile, Override, Thresholds
from mailgw.config.text import quote_key
from mailgw.mail.address import AddressError, Mailbox, parse_domain

_LIMITS = tuple(field.name for field in attrs.fields(Thresholds) if field.name != "never_reject")
# What the second reaches, the first has reached before. (A greylist threshold that is not below spam turns it off.)
_ORDER = (("spam", "reject"), ("outbound_hold", "outbound_reject"))


def check_filters(filters: FilterFile) -> Iterable[Finding]:
    """Give everything that is wrong in a filters.toml whose types are right."""
    yield from check_bounds(filters)
    yield from _check_order("thresholds", filters.thresholds, filters.thresholds)
    for section in ("recipients", "users"):
        for name, override in getattr(filters, section).items():
            path = f"{section}.{quote_key(name)}"
            problem = _problem_of_name(name)
            if problem:
                yield path, problem
            yield from _check_override(path, override, _base(filters, section, name))
    for key in ("trusted_forwarders", "trusted_sealers"):
        for number, domain in enumerate(getattr(filters.dmarc, key)):
            try:
                valid = not parse_domain(domain).startswith("[")
            except AddressError:
                valid = False
            if not valid:
                yield f"dmarc.{key}[{number}]", f'"{domain}" is no domain name'


def _check_override(path: str, override: Override, base: Thresholds) -> Iterable[Finding]:
    known: dict[str, Any] = {name: limit for name, limit in override.thresholds.items() if name in _LIMITS}
    for name, limit in override.thresholds.items():
        key = f"{path}.thresholds.{quote_key(name)}"
        if name not in _LIMITS:
            near = get_close_matches(name, _LIMITS, n=1)
            yield key, "unknown key; " + (f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(_LIMITS)}")
        elif limit <= 0:
            yield key, f"{limit} is not above 0"
    yield from _check_order(f"{path}.thresholds", attrs.evolve(base, **known), known)


def _check_order(path: str, limits: Thresholds, own: object) -> Iterable[Finding]:
    """`own` has the thresholds that the section sets itself."""
    for lower, upper in _ORDER:
        below, above = getattr(limits, lower), getattr(limits, upper)
        if below > above:
            key = upper if isinstance(own, Mapping) and lower not in own else lower
            word = "above" if key == lower else "below"
            other, value = (upper, above) if key == lower else (lower, below)
            yield f"{path}.{key}", f"is {word} {other} ({value:g}): then {lower} would never be reached first"


def _base(filters: FilterFile, section: str, name: str) -> Thresholds:
    """The thresholds that a section changes: those of the address's domain, where it has a section, or the site's."""
    domain = getattr(filters, section).get(name.rpartition("@")[2]) if "@" in name else None
    if domain is None:
        return filters.thresholds
    known: dict[str, Any] = {key: limit for key, limit in domain.thresholds.items() if key in _LIMITS}
    return attrs.evolve(filters.thresholds, **known)


def _problem_of_name(name: str) -> str:
    try:
        if "@" in name:
            Mailbox.parse(name)
        else:
            parse_domain(name)
    except AddressError as error:
        return f'"{name}" is neither an address nor a domain: {error}'
    return ""
