"""What the configuration says of us, as far as others see it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from attrs import frozen
from cryptography import x509

from mailgw.config.endpoints import parse_address
from mailgw.config.schema import Relay, Settings
from mailgw.delivery.dkim.keys import StoredKey
from mailgw.dns.interface import MxRecord, Resolver
from mailgw.dns.questions import addresses_of
from mailgw.mail.address import Mailbox, ascii_domain


@frozen
class Site:
    """Names are in A-labels. `addresses` are those that our mail comes from and goes to; `smarthosts` are the routes by
    which mail leaves, all of it unless some goes `direct`, to MX hosts; `chain` is our certificate with those above it;
    `keys` are for DKIM, which `signing` turns on; `dane` is whether we hold others to their TLSA records."""

    hostname: str
    domains: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    smarthosts: tuple[str, ...] = ()
    direct: bool = True
    chain: tuple[x509.Certificate, ...] = ()
    keys: tuple[StoredKey, ...] = ()
    signing: bool = True
    dane: bool = True
    helo: str = ""
    """What we say in EHLO, where it is not the hostname."""
    tls_reporter: str = ""
    """The domain that reports on TLS are sent from; empty where none are."""
    sources: tuple[str, ...] = ()
    """Those of `addresses` that our mail comes from, where the configuration names them."""

    @property
    def ehlo(self) -> str:
        return self.helo or self.hostname

    @property
    def outgoing(self) -> tuple[str, ...]:
        """The addresses that our mail comes from."""
        return self.sources or self.addresses

    def name_of(self, address: str) -> str:
        """Give the name that others know an address of ours by: what it says in EHLO, or greets with."""
        return self.ehlo if address in self.outgoing else self.hostname


def make_site(settings: Settings, chain: Iterable[x509.Certificate], keys: Iterable[StoredKey] = ()) -> Site:
    """Take it from the configuration. Its addresses are those of listeners, and those that connections to MX hosts come
    from, as far as they are public."""
    listening = [
        parse_address(text)[0]
        for listener in settings.listeners.values()
        if listener.kind != "lmtp"
        for text in listener.addresses
    ]
    ways = (settings.relay.default, *(rule.via for rule in settings.relay.rules.values()))
    relay = settings.relay if "mx" in ways else Relay()
    sources = tuple(address for address in relay.source_addresses if ipaddress.ip_address(address).is_global)
    return Site(
        hostname=ascii_domain(settings.hostname),
        domains=tuple(ascii_domain(domain) for domain in settings.domains),
        addresses=tuple(dict.fromkeys(a for a in (*listening, *sources) if ipaddress.ip_address(a).is_global)),
        smarthosts=tuple(dict.fromkeys(way.removeprefix("route:") for way in ways if way != "mx")),
        direct="mx" in ways,
        chain=tuple(chain),
        keys=tuple(keys),
        signing=settings.signing.enabled,
        dane=settings.relay.dane,
        helo=ascii_domain(relay.helo),
        tls_reporter=Mailbox.parse(settings.tls_reports.sender).ascii_domain if settings.tls_reports.sender else "",
        sources=sources,
    )


async def public_addresses(resolver: Resolver, site: Site, given: Sequence[str]) -> tuple[str, ...]:
    """Give our addresses: those that the postmaster names, else those of public listeners, else what DNS has for our
    hostname (behind an address translator nothing else knows them). Raises DnsFailure."""
    if given:
        return tuple(str(ipaddress.ip_address(address)) for address in given)
    return site.addresses or await addresses_of(resolver, site.hostname)


async def our_hosts(resolver: Resolver, site: Site) -> tuple[str, ...]:
    """Give our hostname, and the exchanges of our domains that lead to our addresses. Raises DnsFailure."""
    hosts = {site.hostname: True}
    for domain in site.domains:
        for record in (await resolver.lookup(domain, "MX")).records:
            if isinstance(record, MxRecord) and record.exchange not in hosts:
                hosts[record.exchange] = await is_ours(resolver, site, record.exchange)
    return tuple(host for host, ours in hosts.items() if ours)


async def is_ours(resolver: Resolver, site: Site, host: str) -> bool:
    """Whether a host is this gateway. Raises DnsFailure."""
    return host == site.hostname or bool(host and set(await addresses_of(resolver, host)) & set(site.addresses))
