"""The next hops of a domain: MX hosts in order, and their addresses (RFC 5321 5.1)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults

from mailgw.config.endpoints import is_socket
from mailgw.config.schema.delivery import Family
from mailgw.delivery.classify import Unreachable
from mailgw.dns.interface import DnsFailure, MxRecord, RecordType, Resolver
from mailgw.mail.address import AddressError, ascii_domain, literal_address
from mailgw.queue.item import Delayed, Failed

# More MX hosts, or addresses of a host, than anybody tries.
MAX_HOSTS = 20
MAX_ADDRESSES = 10
# What is asked for each choice, in the order in which the answers are taken.
_RECORDS: Mapping[Family, Sequence[RecordType]] = {
    "ipv4_first": ("A", "AAAA"),
    "ipv6_first": ("AAAA", "A"),
    "ipv4": ("A",),
    "ipv6": ("AAAA",),
}
_LOCALHOST: Mapping[RecordType, str] = {"A": "127.0.0.1", "AAAA": "::1"}


@frozen
class MxHosts:
    """The hosts to try, best first; an address for an address literal.

    `proven` are the names of the recipient domain (as it was asked for, and where its aliases lead) if DNSSEC vouches
    for its MX records, or for that there are none; else it is empty.
    """

    names: tuple[str, ...]
    proven: tuple[str, ...] = ()


class MailExchangers:
    """Finds the hosts of a domain and the addresses of a host."""

    def __init__(self, resolver: Resolver, hostname: str, random: random.Random) -> None:
        self._resolver = resolver
        self._hostname = hostname.lower()
        self._random = random

    async def hosts(self, domain: str) -> MxHosts:
        """Find the hosts of a domain. Raises Unreachable."""
        if domain.startswith("["):
            return MxHosts((_literal(domain),))
        try:
            name = ascii_domain(domain)
            answer = await self._resolver.lookup(name, "MX")
        except AddressError as error:
            raise Unreachable(Failed("5.1.2", str(error))) from error
        except DnsFailure as error:
            reason = f"DNS does not say now where mail for {domain} goes: {error.cause}"
            raise Unreachable(Delayed("4.4.3", reason, site_wide=True)) from error
        if not answer.exists:
            raise Unreachable(Failed("5.1.2", f"the domain {domain} does not exist"))
        proven = tuple(filter(None, (name, answer.alias_of))) if answer.authenticated else ()
        records = [record for record in answer.records if isinstance(record, MxRecord)]
        if not records:
            return MxHosts((name,), proven)  # RFC 5321 5.1: the domain is its own host, with preference 0
        return MxHosts(self._ordered(domain, records), proven)

    def _ordered(self, domain: str, records: Sequence[MxRecord]) -> tuple[str, ...]:
        named = [(record.preference, record.exchange.rstrip(".").lower()) for record in records]
        if not any(name for _, name in named):  # RFC 7505 3
            raise Unreachable(Failed("5.1.10", f"the domain {domain} takes no mail (it has a null MX)"))
        ours = [preference for preference, name in named if name == self._hostname]
        # RFC 5321 5.1: we and what stands behind us would only send it round. Equals are in random order.
        kept = [(p, self._random.random(), name) for p, name in named if name and (not ours or p < min(ours))]
        if not kept:
            reason = f"mail for {domain} loops: its best MX is ourselves, and it is no domain of ours"
            raise Unreachable(Failed("5.4.6", reason))
        return tuple(dict.fromkeys(name for _, _, name in sorted(kept)))[:MAX_HOSTS]

    async def addresses(self, host: str, family: Family = "ipv4_first") -> tuple[str, ...]:
        """Give the addresses of a host: of one family, or of both in turn. Raises Unreachable when it has none.

        A socket of this host is its own address.
        """
        if is_socket(host) or _is_address(host):
            return (host,)
        if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 6.3
            return tuple(_LOCALHOST[type] for type in _RECORDS[family])
        asking = [Deferred.fromCoroutine(self._lookup(host, type)) for type in _RECORDS[family]]
        # To cancel it cancels all: nobody else hears of that.
        found: list[Sequence[str] | DnsFailure] = await gatherResults(asking, consumeErrors=True)
        families = [addresses for addresses in found if not isinstance(addresses, DnsFailure)]
        in_turn = [address for address in chain(*zip_longest(*families)) if address]
        if in_turn:
            return tuple(in_turn[:MAX_ADDRESSES])
        for failure in found:
            if isinstance(failure, DnsFailure):
                reason = f"DNS does not give the address of {host} now: {failure.cause}"
                raise Unreachable(Delayed("4.4.3", reason, host, site_wide=True))
        only = f", and no other is used: family is {family}" if len(found) == 1 else ""
        kind = "IPv6 " if family == "ipv6" else "IPv4 " if only else ""
        raise Unreachable(Failed("5.4.4", f"the host {host} has no {kind}address{only}", host))

    async def _lookup(self, host: str, type: RecordType) -> Sequence[str] | DnsFailure:
        try:
            answer = await self._resolver.lookup(host, type)
        except DnsFailure as error:
            return error
        return [record for record in answer.records if isinstance(record, str)]


def _literal(domain: str) -> str:
    try:
        return str(literal_address(domain))
    except AddressError as error:
        raise Unreachable(Failed("5.1.2", str(error))) from error


def _is_address(host: str) -> bool:
    try:
        literal_address(f"[IPv6:{host}]" if ":" in host else f"[{host}]")
    except AddressError:
        return False
    return True
