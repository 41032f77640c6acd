"""Questions to DNS that several packages have."""

from __future__ import annotations

from mailgw.dns.interface import Resolver

# A zone that has been signed since 2009.
_SIGNED = "org"


async def addresses_of(resolver: Resolver, host: str) -> tuple[str, ...]:
    """Give the IPv4 and IPv6 addresses of a host. Raises DnsFailure."""
    found = [*(await resolver.lookup(host, "A")).records, *(await resolver.lookup(host, "AAAA")).records]
    return tuple(address for address in found if isinstance(address, str))


async def texts_of(resolver: Resolver, name: str) -> tuple[bytes, ...]:
    """Give the TXT records of a name. Raises DnsFailure."""
    return tuple(text for text in (await resolver.lookup(name, "TXT")).records if isinstance(text, bytes))


async def is_validating(resolver: Resolver) -> bool:
    """Whether the resolver says by DNSSEC what is surely signed, and we trust it in that. Raises DnsFailure."""
    return (await resolver.lookup(_SIGNED, "SOA")).authenticated
