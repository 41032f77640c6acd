"""Which TLSA records of a host count: only those that DNSSEC vouches for (RFC 7672 2)."""

from __future__ import annotations

from mailgw.delivery.classify import Unreachable
from mailgw.delivery.tls.tlsa import HostTlsa, usable
from mailgw.dns.interface import Answer, DnsFailure, RecordType, Resolver, TlsaRecord
from mailgw.operation.peer_certificate import is_address
from mailgw.queue.item import Delayed


class TlsaLookup:
    """Asks for the records of a host."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def find(self, host: str, port: int) -> HostTlsa | None:
        """Give what a host says by DANE; None when it says nothing, or nothing that DNSSEC vouches for.

        Raises Unreachable where this cannot be found out: no mail may go there then, lest an attacker who breaks DNS
        have it in clear text (RFC 7672 2.1.2).
        """
        if is_address(host) or host == "localhost" or host.endswith(".localhost"):
            return None
        names = await self._secure_names(host, port)
        for base in names:
            answer = await self._ask(f"_{port}._tcp.{base}", "TLSA", host)
            records = tuple(record for record in answer.records if isinstance(record, TlsaRecord))
            if records and answer.authenticated:
                return HostTlsa(base, names, records, usable(records))
        return None

    async def _secure_names(self, host: str, port: int) -> tuple[str, ...]:
        """Give the candidates for the TLSA base domain, best first (RFC 7672 2.2.2, 2.2.3).

        Whose addresses are not secure is not asked for TLSA: that its server can answer that is not sure, and nothing
        would come of it. But a secure alias may lead out into a zone that is not signed.
        """
        addresses = await self._addresses(host)
        if addresses is None:
            return ()
        if addresses.authenticated:
            return (addresses.alias_of, host) if addresses.alias_of else (host,)
        if addresses.alias_of and (await self._ask(host, "CNAME", host)).authenticated:
            return (host,)
        return ()

    async def _addresses(self, host: str) -> Answer | None:
        """Give an answer about its addresses: DNSSEC vouches for those of both families or of none, also that there are
        none. None when there is no answer."""
        for type in ("A", "AAAA"):
            try:
                return await self._resolver.lookup(host, type)
            except DnsFailure:
                continue  # who connects to it has an address all the same
        return None

    async def _ask(self, name: str, type: RecordType, host: str) -> Answer:
        try:
            return await self._resolver.lookup(name, type)
        except DnsFailure as failure:
            reason = f"DNS does not say now whether {host} wants TLS (DANE): {failure.cause}"
            outcome = Delayed("4.4.3", reason, host, site_wide=True)
            raise Unreachable(outcome, failure="dnssec-invalid") from failure
