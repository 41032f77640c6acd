"""Lists of senders that are allowed or denied, for everybody, for a domain of ours or for one recipient.

The file has one entry a line: for whom, what, which sender.

    *                  deny   bulk.example             a domain, with those below it
    *                  deny   offers@shop.example      an address
    @example.org       allow  192.0.2.0/24             an address or network of clients
    alice@example.org  allow  example.net              counts when DKIM, SPF or DMARC prove the domain
    alice@example.org  allow  old.example.net unproven counts always
    *                  allow  dkim:lists.example       what that domain has signed, whoever wrote it; also spf:

Reading and choosing only: what an entry is worth stands in filters.toml.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from attrs import field, frozen

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.text import read_text
from mailgw.mail.address import AddressError, Mailbox, ascii_domain, parse_domain

MAX_ENTRIES = 100_000
_WORDS = "write: RECIPIENT allow|deny SENDER [unproven]"

Kind = Literal["address", "domain", "dkim", "spf", "network"]
_KINDS: tuple[Kind, ...] = ("address", "domain", "dkim", "spf", "network")


@frozen
class SenderEntry:
    """A line of the file. `scope` is `*`, `@domain` or an address, in lower case; `value` is a network as text, or an
    address or domain in lower case and A-labels."""

    scope: str
    allow: bool
    kind: Kind
    value: str
    unproven: bool
    line: int

    @property
    def rank(self) -> tuple[int, int, int, bool]:
        """What goes before what: the recipient's own, its domain's, everybody's; then the closest to the sender; then
        deny."""
        scope = 2 if self.scope == "*" else 1 if self.scope.startswith("@") else 0
        return scope, _KINDS.index(self.kind), -len(self.value), self.allow

    def __str__(self) -> str:
        prefix = f"{self.kind}:" if self.kind in ("dkim", "spf") else ""
        return f"{self.scope} {'allows' if self.allow else 'denies'} {prefix}{self.value} (line {self.line})"


@frozen
class Sender:
    """What is known about who sent a message: the addresses of From and of the envelope and their domains, the domain
    of From where something proves it (`proven`), the domains of good DKIM signatures and of SPF, the client's
    address."""

    addresses: tuple[str, ...]
    domains: tuple[str, ...]
    proven: frozenset[str]
    dkim: frozenset[str]
    spf: frozenset[str]
    client: str


@frozen
class SenderLists:
    """The entries, found by what they are about."""

    _by_value: dict[tuple[Kind, str], list[SenderEntry]] = field(factory=dict)
    _networks: tuple[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, SenderEntry], ...] = ()

    @classmethod
    def of(cls, entries: Sequence[SenderEntry]) -> SenderLists:
        by_value: dict[tuple[Kind, str], list[SenderEntry]] = {}
        for entry in entries:
            if entry.kind != "network":
                by_value.setdefault((entry.kind, entry.value), []).append(entry)
        networks = [(ipaddress.ip_network(e.value), e) for e in entries if e.kind == "network"]
        return cls(by_value, tuple(networks))

    def __bool__(self) -> bool:
        return bool(self._by_value or self._networks)

    def matching(self, sender: Sender) -> list[tuple[SenderEntry, bool]]:
        """Give the entries that are about a sender, whoever's they are, the first in precedence first, each with
        whether it counts: an allow by address or domain has to be proven."""
        found: dict[int, tuple[SenderEntry, bool]] = {}
        about: tuple[tuple[Kind, Iterable[str]], ...] = (
            ("address", sender.addresses),
            ("domain", sender.domains),
            ("dkim", sender.dkim),
            ("spf", sender.spf),
        )
        for kind, values in about:
            for value in values:
                proven = kind in ("dkim", "spf") or value.rpartition("@")[2] in sender.proven
                for name in (value,) if kind == "address" else _above(value):
                    for entry in self._by_value.get((kind, name), ()):
                        counts = proven or entry.unproven or not entry.allow
                        before = found.get(entry.line)
                        found[entry.line] = (entry, counts or (before is not None and before[1]))
        for entry in self._of_client(sender.client):
            found[entry.line] = (entry, True)
        return sorted(found.values(), key=lambda pair: pair[0].rank)

    def _of_client(self, client: str) -> Iterator[SenderEntry]:
        if self._networks:
            try:
                address = ipaddress.ip_address(client)
            except ValueError:
                return
            yield from (entry for network, entry in self._networks if address in network)


def _above(domain: str) -> Iterator[str]:
    """Give a domain and those above it."""
    while domain:
        yield domain
        domain = domain.partition(".")[2]


def concerns(entry: SenderEntry, recipient: Mailbox) -> bool:
    """Whether an entry is of this recipient, its domain, or everybody."""
    if entry.scope == "*":
        return True
    try:
        domain = recipient.ascii_domain
    except AddressError:
        return False
    if entry.scope.startswith("@"):
        return entry.scope[1:] == domain
    return entry.scope == f"{recipient.local_part.lower()}@{domain}"


def load_sender_lists(path: str) -> SenderLists:
    """Read the file. Raises ConfigurationErrors with every line that is wrong."""
    entries: dict[tuple[str, Kind, str], SenderEntry] = {}
    errors = []
    for number, text in enumerate(read_text(path).split("\n"), 1):
        words = text.partition("#")[0].split()
        if not words:
            continue
        try:
            entry = _parse(words, number)
        except ValueError as error:  # AddressError is one
            errors.append(ConfigError(path, "", str(error), number))
            continue
        first = entries.setdefault((entry.scope, entry.kind, entry.value), entry)
        if first is not entry:
            message = f"{words[0]} has an entry for {words[2]} in line {first.line} already"
            errors.append(ConfigError(path, "", message, number))
    if len(entries) > MAX_ENTRIES:
        errors.append(ConfigError(path, "", f"{len(entries)} entries; at most {MAX_ENTRIES} are read"))
    if errors:
        raise ConfigurationErrors(errors)
    return SenderLists.of(list(entries.values()))


def _parse(words: Sequence[str], line: int) -> SenderEntry:
    if len(words) not in (3, 4) or words[1] not in ("allow", "deny"):
        raise ValueError(_WORDS)
    scope, decision, sender = words[:3]
    unproven = len(words) == 4
    if unproven and (words[3] != "unproven" or decision == "deny"):
        raise ValueError("only `unproven` may follow, for an allow" if decision == "allow" else _WORDS)
    kind, value = _parse_sender(sender)
    if unproven and kind not in ("address", "domain"):
        raise ValueError(f"`unproven` is for addresses and domains, not for {sender}")
    return SenderEntry(_parse_scope(scope), decision == "allow", kind, value, unproven, line)


def _parse_scope(text: str) -> str:
    if text == "*":
        return text
    if text.startswith("@"):
        return f"@{ascii_domain(parse_domain(text[1:]))}"
    return _address(text)


def _parse_sender(text: str) -> tuple[Kind, str]:
    prefix, colon, rest = text.partition(":")
    if colon and prefix in ("dkim", "spf"):
        return ("dkim" if prefix == "dkim" else "spf"), ascii_domain(parse_domain(rest))
    if "@" in text.lstrip("@"):
        return "address", _address(text)
    try:
        return "network", str(ipaddress.ip_network(text))
    except ValueError as error:
        if "/" in text or ":" in text or text.replace(".", "").isdigit():
            raise ValueError(f"{text} is no network: {error}") from None
    return "domain", ascii_domain(parse_domain(text.lstrip("@")))


def _address(text: str) -> str:
    mailbox = Mailbox.parse(text)
    return f"{mailbox.local_part.lower()}@{mailbox.ascii_domain}"
