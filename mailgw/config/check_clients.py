"""What [rates] and the networks of clients may say beyond their types."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from mailgw.config.schema import DEFAULT_RATES, Rate, Settings
from mailgw.config.text import quote_key

Finding = tuple[str, str]
"""The path of a key, and what is wrong with it."""

_HOSTS = ("address", "network")
# What is known of a client when each of them is counted.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "connections": (*_HOSTS, "all"),
    "handshakes": (*_HOSTS, "all"),
    # By user or in all, anyone could lock others out with wrong passwords.
    "auth_failures": _HOSTS,
    "messages": (*_HOSTS, "user", "sender", "sender_domain", "all"),
    "recipients": (*_HOSTS, "user", "sender", "sender_domain", "recipient", "recipient_domain", "all"),
}


def check_clients(settings: Settings) -> Iterator[Finding]:
    """Check own_networks, [rates], and the times and limits that belong to them."""
    yield from check_networks("own_networks", settings.own_networks)
    for name, listener in settings.listeners.items():
        for key in ("normalise_networks", "proxy_networks", "xclient_networks"):
            yield from check_networks(f"listeners.{quote_key(name)}.{key}", getattr(listener, key))
    for name, rate in settings.rates.items():
        section = f"rates.{quote_key(name)}"
        yield from _check_rate(section, rate)
        yield from _check_replaced(section, rate, DEFAULT_RATES.get(name))
    timeouts = settings.timeouts
    if timeouts.command_under_load > timeouts.command > 0:
        yield "timeouts.command_under_load", f"is above timeouts.command ({timeouts.command:g})"
    limits = settings.limits
    if limits.connections_per_address > limits.connections_per_network > 0:
        yield (
            "limits.connections_per_address",
            f"is above limits.connections_per_network ({limits.connections_per_network})",
        )


def check_networks(key: str, texts: tuple[str, ...]) -> Iterator[Finding]:
    """Check a list of networks and single addresses."""
    for number, text in enumerate(texts):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            yield f"{key}[{number}]", _wrong_network(text)


def _wrong_network(text: str) -> str:
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f'"{text}" is no network; write 192.0.2.0/24, 2001:db8::/32 or an address'
    return f'"{text}" has an address behind its network; write "{meant}"'


def _check_rate(section: str, rate: Rate) -> Iterator[Finding]:
    allowed = _KEYS[rate.counts]
    if rate.key not in allowed:
        yield f"{section}.key", f'"{rate.key}" does not go with counts = "{rate.counts}"; possible: {_list(allowed)}'
    for cause, holds in (('key = "user"', rate.key == "user"), (f'counts = "{rate.counts}"', _of_logins(rate))):
        if holds and rate.listeners and "submission" not in rate.listeners:
            yield f"{section}.listeners", f'has no "submission", and {cause} is about authenticated users'
    if rate.only and rate.key == "all":
        yield f"{section}.only", 'there is nothing to compare it with where key = "all"'
    elif rate.key in _HOSTS:
        yield from check_networks(f"{section}.only", rate.only)
    else:
        yield from _check_patterns(section, rate)


def _check_replaced(section: str, rate: Rate, default: Rate | None) -> Iterator[Finding]:
    if default is None and not rate.limit and not rate.only:
        yield f"{section}.limit", "not set, so that this rate does nothing"
    # A section replaces all of a default: what it leaves out must not quietly mean something else.
    if default is not None and rate.limit and rate.counts != default.counts:
        yield (
            f"{section}.counts",
            f'"{rate.counts}", but this name replaces the rate that counts {default.counts}: write '
            f'counts = "{default.counts}", or choose another name',
        )


def _check_patterns(section: str, rate: Rate) -> Iterator[Finding]:
    of_domains = rate.key.endswith("_domain")
    for number, text in enumerate(rate.only):
        key = f"{section}.only[{number}]"
        if not text or not text.isprintable() or " " in text:
            yield (
                key,
                f'"{text}" is no pattern; write one such as "{"*.example.org" if of_domains else "*@example.org"}"',
            )
        elif of_domains and "@" in text:
            yield key, f'"{text}" has an "@", and key = "{rate.key}" holds domains'
        elif not of_domains and "@" not in text and "*" not in text:
            yield key, f'"{text}" fits no address; write "{text}@*" or "*@{text}"'


def _of_logins(rate: Rate) -> bool:
    return rate.counts == "auth_failures"


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(f'"{word}"' for word in words)
