"""TLSA: does what DANE says fit our certificate (RFC 7672)?"""

from __future__ import annotations

from mailgw.delivery.tlsa import DANE_EE, DANE_TA, advised, matches
from mailgw.dns.interface import Resolver, TlsaRecord
from mailgw.doctor.finding import Finding
from mailgw.doctor.site import Site, our_hosts

SUBJECT = "TLSA"


async def check(resolver: Resolver, site: Site) -> list[Finding]:
    """Look at the records for port 25 of each name that mail comes to us by. Raises DnsFailure."""
    if not site.chain:
        return []
    found: list[Finding] = []
    for host in await our_hosts(resolver, site):
        found += await _check_host(resolver, site, host)
    return found


async def _check_host(resolver: Resolver, site: Site, host: str) -> list[Finding]:
    name = f"_25._tcp.{host}"
    wanted = f"{name}. IN TLSA {advised(site.chain[0])}"
    answer = await resolver.lookup(name, "TLSA")
    records = [record for record in answer.records if isinstance(record, TlsaRecord)]
    if not records:
        return [await _without_records(resolver, host, wanted)]
    found = []
    if not answer.authenticated:
        fact = "there are TLSA records that nobody uses: they are not signed, or the resolver does not say so"
        found.append(Finding("warning", SUBJECT, host, fact, "Sign the zone with DNSSEC."))
    # RFC 7672 3.1.3: for SMTP the usages 0 and 1 mean nothing.
    usable = [record for record in records if record.usage in (DANE_TA, DANE_EE)]
    if len(usable) < len(records):
        advice = "Publish usage 3 (or 2) instead."
        found.append(Finding("warning", SUBJECT, host, "TLSA usages 0 and 1 mean nothing for SMTP", advice))
    if any(matches(record, site.chain) for record in usable):
        others = sum(not matches(record, site.chain) for record in usable)
        also = f"; {others} more do not (a key to come?)" if others else ""
        return [*found, Finding("ok", SUBJECT, host, f"a TLSA record matches our certificate{also}")]
    if usable:
        advice = "Publish ours beside them now: senders with DANE cannot deliver."
        found.append(Finding("error", SUBJECT, host, "no TLSA record matches our certificate", advice, wanted))
    return found


async def _without_records(resolver: Resolver, host: str, wanted: str) -> Finding:
    if not (await resolver.lookup(host, "A")).authenticated:
        fact = "there is no DANE: the zone is not signed, or the resolver does not say so"
        return Finding("note", SUBJECT, host, fact, "Sign the zone with DNSSEC first.")
    advice = "Publish it: senders with DANE then insist on TLS with this key."
    return Finding("note", SUBJECT, host, "the zone is signed, and has no TLSA record", advice, wanted)
