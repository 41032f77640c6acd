"""What is wrong with the ways out: [relay], its rules, and the next hops."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from mailgw.config import endpoints
from mailgw.config.schema import Relay, RelayRule, Route, Settings
from mailgw.config.text import nearest, quote_key
from mailgw.mail.address import AddressError, Mailbox, ascii_domain, parse_domain

Finding = tuple[str, str]

# RFC 5321 4.1.2: atext, without what begins it. A dot would make another user of it.
_SUFFIX = re.compile(r"[+=_#&-][A-Za-z0-9_-]+")


def check_relay(settings: Settings) -> Iterator[Finding]:
    """Give (key, what is wrong with it)."""
    yield from check_next_hop("relay.default", settings.relay.default, "mx", settings.routes)
    ours = {_comparable(name) for name in settings.domains}
    for name, rule in settings.relay.rules.items():
        section = f"relay.rules.{quote_key(name)}"
        if rule.via:
            yield from check_next_hop(f"{section}.via", rule.via, "mx", settings.routes)
        else:
            yield f"{section}.via", 'not set; write "mx" or "route:NAME"'
        yield from _check_rule(section, rule, ours)
    yield from _check_local_end("relay", settings.relay)
    for name, route in settings.routes.items():
        yield from _check_route(f"routes.{quote_key(name)}", route)


def check_next_hop(key: str, value: str, word: str, routes: Mapping[str, Route]) -> Iterator[Finding]:
    """Check a key that is `word`, or `route:NAME`."""
    if value == word:
        return
    scheme, colon, name = value.partition(":")
    if scheme != "route" or not colon:
        yield key, f'expected "{word}" or "route:NAME", got "{value}"'
    elif name not in routes:
        known = ", ".join(routes) or "none"
        yield key, f"there is no [routes.{quote_key(name)}]{nearest(name, routes)}; the routes are: {known}"


def _check_rule(section: str, rule: RelayRule, ours: set[str]) -> Iterator[Finding]:
    patterns = {key: getattr(rule, key) for key in ("recipients", "senders", "users")}
    if not any(patterns.values()):
        yield section, "names no recipients, senders or users; what is for all mail is `default` of [relay]"
    for name, texts in patterns.items():
        for number, text in enumerate(texts):
            key = f"{section}.{name}[{number}]"
            if text == "*" or (text == "<>" and name == "senders"):
                continue
            try:
                domain = _domain_named(text)
            except AddressError as error:
                yield key, f'"{text}" is no domain, no "*." and a domain, and no address: {error}'
                continue
            if name == "recipients" and domain in ours:
                instead = f"`deliver` of [domains.{quote_key(domain)}] says where its mail goes"
                yield key, f'"{text}" is not outside: {instead}'


def _domain_named(text: str) -> str:
    """Give the one domain that a pattern is for, in A-labels; empty for `*.DOMAIN`. Raises AddressError."""
    if "@" in text:
        return Mailbox.parse(text).ascii_domain
    name = ascii_domain(parse_domain(text.removeprefix("*.")))
    return "" if text.startswith("*.") else name


def _comparable(name: str) -> str:
    try:
        return ascii_domain(name)
    except AddressError:
        return name


def _check_route(section: str, route: Route) -> Iterator[Finding]:
    if not route.hosts:
        yield f"{section}.hosts", 'not set; write HOST or HOST:PORT, such as ["smtp.example.net:587"]'
    yield from _check_local_end(section, route)
    yield from _check_spam_suffix(section, route)
    for number, text in enumerate(route.hosts):
        try:
            endpoints.parse_next_hop(text, 25)
        except ValueError as error:
            yield f"{section}.hosts[{number}]", str(error)
    if any(map(endpoints.is_socket, route.hosts)):
        yield from _check_socket_route(section, route)
    if route.username and not route.password_file:
        yield f"{section}.password_file", "not set, and there is a username"
    if route.password_file and not route.username:
        yield f"{section}.username", "not set, and there is a password_file"
    if route.username and route.tls == "none":
        yield f"{section}.tls", '"none" would send the password in clear; choose required or verified'


def _check_spam_suffix(section: str, route: Route) -> Iterator[Finding]:
    if route.spam_suffix and not _SUFFIX.fullmatch(route.spam_suffix):
        yield (
            f"{section}.spam_suffix",
            f'"{route.spam_suffix}" is not a sign and a name that can stand behind a user\'s name, such as "+Spam"',
        )


def _check_socket_route(section: str, route: Route) -> Iterator[Finding]:
    """A socket leads to a mail store on this host; there is nobody to encrypt for or to prove anything to."""
    if route.protocol != "lmtp":
        yield f"{section}.protocol", 'has to be "lmtp" for a "unix:" host'
    if route.tls not in ("none", "opportunistic"):
        yield f"{section}.tls", f'"{route.tls}" cannot be had over a socket of this host; leave it out'
    if route.username:
        yield f"{section}.username", "a password goes under TLS only, which a socket of this host does not have"


def _check_local_end(section: str, place: Relay | Route) -> Iterator[Finding]:
    taken: dict[int, str] = {}
    for number, text in enumerate(place.source_addresses):
        key = f"{section}.source_addresses[{number}]"
        try:
            address = ip_address(text)
        except ValueError:
            yield key, f'"{text}" is not an IP address'
            continue
        if address.is_unspecified or address.is_multicast:
            yield key, f'"{text}" is no address to come from; without one the system chooses'
        elif address.version in taken:
            yield key, f'"{text}" is a second one of IPv{address.version}, beside {taken[address.version]}'
        taken.setdefault(address.version, text)
    if place.helo and not is_domain_name(place.helo):
        yield f"{section}.helo", f'"{place.helo}" is not a domain name'


def is_domain_name(text: str) -> bool:
    """Whether it is a name that DNS could hold: no address literal, no address."""
    try:
        name = ascii_domain(parse_domain(text))
    except AddressError:
        return False
    return not text.startswith("[") and not re.fullmatch(r"[0-9.]+", name)
