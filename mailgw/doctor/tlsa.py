"""TLSA: does what DANE says fit our certificate (RFC 7672)?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailgw.delivery.tls.dane import NotAuthentic, authenticate
from mailgw.delivery.tls.tlsa import DANE_EE, DANE_TA, advised, is_usable, matches, presented, shown, usable
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
    for_smtp = [record for record in records if record.usage in (DANE_TA, DANE_EE)]
    if len(for_smtp) < len(records):  # RFC 7672 3.1.3
        advice = "Publish usage 3 (or 2) instead."
        found.append(Finding("warning", SUBJECT, host, "TLSA usages 0 and 1 mean nothing for SMTP", advice))
    broken = [record for record in for_smtp if not is_usable(record)]
    if broken:
        fact = f"nobody can use a TLSA record of an unknown kind, or whose data are not what it says: {shown(broken)}"
        found.append(Finding("warning", SUBJECT, host, fact, "Correct it, or take it away."))
    return [*found, *_verdict(site, host, usable(for_smtp), wanted)]


def _verdict(site: Site, host: str, records: Sequence[TlsaRecord], wanted: str) -> Iterator[Finding]:
    """What a sender with DANE says of us. Of the digests of one kind it looks at the strongest alone (RFC 7671 9)."""
    if not records:
        return
    try:
        proof = authenticate(records, site.chain, (host,))
    except NotAuthentic as error:
        advice = "Publish ours beside them now: senders with DANE cannot deliver."
        yield Finding("error", SUBJECT, host, f"our certificate {error}", advice, wanted)
        return
    others = sum(record.usage == DANE_EE and not matches(record, site.chain) for record in records)
    also = f"; {others} more do not (a key to come?)" if others else ""
    yield Finding("ok", SUBJECT, host, f"a TLSA record ({presented(proof.record)[:5]}) proves our certificate{also}")


async def _without_records(resolver: Resolver, host: str, wanted: str) -> Finding:
    if not (await resolver.lookup(host, "A")).authenticated:
        fact = "there is no DANE: the zone is not signed, or the resolver does not say so"
        return Finding("note", SUBJECT, host, fact, "Sign the zone with DNSSEC first.")
    advice = "Publish it: senders with DANE then insist on TLS with this key."
    return Finding("note", SUBJECT, host, "the zone is signed, and has no TLSA record", advice, wanted)
