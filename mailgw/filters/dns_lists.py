"""DNS lists: what those who keep lists of addresses and domains say of a message."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from mailgw.config.schema.setting import setting
from mailgw.config.text import quote_key
from mailgw.dns.interface import Resolver
from mailgw.filters.anatomy import Anatomies
from mailgw.filters.base import FilterSettings
from mailgw.filters.dnsbl import ActiveList, Code, DnsList, Subject, find_faults, read_codes
from mailgw.filters.domains import registered_domain
from mailgw.filters.identities import domain_of, find_author
from mailgw.filters.known_lists import KNOWN_LISTS
from mailgw.filters.text import show
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Transaction

# Networks that no public list knows anything of, or lists as a whole.
_INTERNAL = tuple(
    map(
        ipaddress.ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
    )
) + tuple(map(ipaddress.ip_network, ("::1/128", "fc00::/7", "fe80::/10")))


@frozen
class DnsListsSettings(FilterSettings):
    domains: int = setting("Domains of one message that each list is asked about at most.", 40)
    self_test: bool = setting(
        "Whether a list is tested, before it is asked and then every hour: one that does not list its test entry, or"
        " lists what it never should, is left alone.",
        True,
    )
    ignored: tuple[str, ...] = setting("Domains that no list is asked about, beside our own.", ())
    lists: Mapping[str, DnsList] = setting("The lists.", {}, shown=KNOWN_LISTS)

    @property
    def in_use(self) -> Mapping[str, DnsList]:
        """The shipped lists and the site's, without those that are taken away."""
        return {name: item for name, item in {**KNOWN_LISTS, **self.lists}.items() if item.enabled}

    def more_symbols(self) -> Mapping[str, float]:
        return {code.symbol: code.weight for item in self.in_use.values() for code in read_codes(item)}

    def findings(self) -> Iterator[tuple[str, str]]:
        for name, item in self.lists.items():
            yield from ((f"lists.{quote_key(name)}.{key}", text) for key, text in find_faults(item))


class DnsLists:
    """States what lists in DNS say of the client's address, and of the domains in HELO, the addresses of the sender,
    links and the text. Nothing is asked about authenticated users and our own networks."""

    name: ClassVar[str] = "dns_lists"
    symbols: ClassVar[Mapping[str, float]] = DnsListsSettings().more_symbols()

    def __init__(
        self,
        settings: DnsListsSettings,
        resolver: Resolver,
        clock: IReactorTime,
        anatomies: Anatomies,
        own_networks: Iterable[str] = (),
        own_domains: Iterable[str] = (),
    ) -> None:
        self.settings = settings
        self._lists = [
            ActiveList(name, item, resolver, clock, self_test=settings.self_test)
            for name, item in settings.in_use.items()
        ]
        self._anatomies = anatomies
        self._own = (*_INTERNAL, *map(ipaddress.ip_network, own_networks))
        self._ignored = frozenset(map(registered_domain, (*own_domains, *settings.ignored)))

    async def check(self, transaction: Transaction) -> list[Evidence]:
        if transaction.client.identity:
            return []
        subjects = await self._subjects(transaction)
        asked = [
            Deferred.fromCoroutine(_ask(item, subject))
            for item in self._lists
            for subject in self._wanted(item, subjects)
        ]
        evidence: list[Evidence] = []
        for _, found in await DeferredList(asked, fireOnOneErrback=True, consumeErrors=True):
            evidence += found
        return evidence

    def _wanted(self, item: ActiveList, subjects: Mapping[Subject, Sequence[str]]) -> list[str]:
        found = dict.fromkeys(subject for kind in item.settings.looks_up for subject in subjects[kind])
        return list(found)[: self.settings.domains]

    async def _subjects(self, transaction: Transaction) -> dict[Subject, list[str]]:
        """Give what lists may be asked about, by its kind."""
        client, envelope, message = transaction.client, transaction.envelope, transaction.message
        anatomy = await self._anatomies.of(transaction)
        domains: dict[Subject, Iterable[str]] = {
            "helo": [client.helo.lower()],
            "reverse_path": [domain_of(envelope.reverse_path)],
            "from": [find_author(message).domain] if message else [],
            "reply_to": [find_author(message, "Reply-To").domain] if message else [],
            "links": anatomy.hosts,
            "mail_addresses": map(domain_of, anatomy.addresses),
        }
        subjects = {kind: self._registered(hosts) for kind, hosts in domains.items()}
        subjects["client"] = [] if self._is_own(client.address) else [client.address]
        return subjects

    def _registered(self, hosts: Iterable[str]) -> list[str]:
        """What was registered of each host, without what is no domain: lists of domains want no addresses."""
        found = dict.fromkeys(registered_domain(host) for host in hosts if _is_domain(host))
        return [domain for domain in found if domain not in self._ignored]

    def _is_own(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return True
        return any(address in network for network in self._own)


async def _ask(item: ActiveList, subject: str) -> list[Evidence]:
    return [_evidence(item, subject, code) for code in await item.ask(subject)]


def _evidence(item: ActiveList, subject: str, code: Code) -> Evidence:
    return Evidence(code.symbol, f"{show(subject)} is listed by {item.settings.zone}")


def _is_domain(host: str) -> bool:
    return "." in host and host.isascii() and not host[-1:].isdigit() and host[:1] != "[" and " " not in host
