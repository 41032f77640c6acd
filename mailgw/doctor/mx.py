"""MX: does mail for our domains come to us (RFC 5321 5.1)?"""

from __future__ import annotations

import ipaddress

from mailgw.dns.interface import MxRecord, Resolver
from mailgw.dns.questions import addresses_of
from mailgw.doctor.finding import Finding
from mailgw.doctor.site import Site, is_ours

SUBJECT = "MX"
MAX_EXCHANGES = 20


async def check(resolver: Resolver, site: Site, domain: str) -> list[Finding]:
    """Look at the domain's exchanges. Raises DnsFailure."""
    answer = await resolver.lookup(domain, "MX")
    wanted = f"{domain}. IN MX 10 {site.hostname}."
    if not answer.exists:
        return [Finding("error", SUBJECT, domain, "the domain does not exist in DNS", "Register and publish it.")]
    records = sorted((r.preference, r.exchange) for r in answer.records if isinstance(r, MxRecord))
    if not records:
        # RFC 5321 5.1: then the domain is its own host.
        here = set(await addresses_of(resolver, domain)) & set(site.addresses)
        fact = "there is no MX record" + ("; mail comes to the domain's own address, which is ours" if here else "")
        advice = "Publish one that names this gateway."
        return [Finding("warning" if here else "error", SUBJECT, domain, fact, advice, wanted)]
    if any(not exchange for _, exchange in records):
        advice = "Take the null MX away, and publish one that names this gateway."
        return [Finding("error", SUBJECT, domain, "a null MX says that it takes no mail (RFC 7505)", advice, wanted)]
    findings: list[Finding] = []
    ours = []
    for preference, exchange in records[:MAX_EXCHANGES]:
        problem = await _problem(resolver, domain, exchange)
        if problem is not None:
            findings.append(problem)
        elif await is_ours(resolver, site, exchange):
            ours.append((preference, exchange))
    others = [exchange for _, exchange in records if exchange not in [name for _, name in ours]]
    return [_of_ours(site, domain, records, ours, others, wanted), *findings]


def _of_ours(
    site: Site,
    domain: str,
    records: list[tuple[int, str]],
    ours: list[tuple[int, str]],
    others: list[str],
    wanted: str,
) -> Finding:
    if not ours:
        fact = f"none of its exchanges ({', '.join(exchange for _, exchange in records)}) is this gateway"
        return Finding("error", SUBJECT, domain, fact, "Publish an MX record that names this gateway.", wanted)
    if ours[0][0] > records[0][0]:
        fact = f"mail goes to {records[0][1]} first, and here only when that is away"
        return Finding("note", SUBJECT, domain, fact, "Lower our preference if this gateway is meant to be first.")
    also = f"; also {', '.join(others)}" if others else ""
    return Finding("ok", SUBJECT, domain, f"{ours[0][1]} is this gateway{also}")


async def _problem(resolver: Resolver, domain: str, exchange: str) -> Finding | None:
    try:
        ipaddress.ip_address(exchange)
    except ValueError:
        pass
    else:
        advice = "Name the host instead: an MX record holds a name (RFC 5321 5.1)."
        return Finding("error", SUBJECT, domain, f"the exchange {exchange} is an IP address", advice)
    if (await resolver.lookup(exchange, "CNAME")).records:
        advice = "Name the host that the alias leads to: an exchange must not be an alias (RFC 2181 10.3)."
        return Finding("warning", SUBJECT, domain, f"the exchange {exchange} is a CNAME", advice)
    if not await addresses_of(resolver, exchange):
        advice = "Publish its address, or take the MX record away: senders lose time with it."
        return Finding("error", SUBJECT, domain, f"the exchange {exchange} has no address", advice)
    return None
