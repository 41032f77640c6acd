"""DMARC: what the world does with mail that only claims to be ours, and who hears of it (RFC 9989, 9990)."""

from __future__ import annotations

import re

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.dns.questions import addresses_of, texts_of
from mailgw.doctor.finding import Finding, shown, txt_record
from mailgw.doctor.site import Site
from mailgw.senderauth.dmarc_record import Record, is_record
from mailgw.senderauth.tree_walk import TreeWalk

SUBJECT = "DMARC"
MAX_URIS = 5

_PCT = re.compile(rb";\s*pct\s*=", re.I)
_STRICTNESS = {"none": 0, "quarantine": 1, "reject": 2}


async def check(resolver: Resolver, site: Site, domain: str) -> list[Finding]:
    """Look at the record that applies to the domain. Raises DnsFailure."""
    texts = [text for text in await texts_of(resolver, f"_dmarc.{domain}") if is_record(text)]
    wanted = txt_record(f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}")
    if len(texts) > 1:
        fact = f"there are {len(texts)} records at _dmarc.{domain}, and so none counts (RFC 9989 4.10)"
        return [Finding("error", SUBJECT, domain, fact, "Leave one.")]
    applicable = await TreeWalk(resolver).find(domain)
    if applicable is None:
        advice = "Publish one: first with p=none to see who sends as you, later with p=reject."
        return [Finding("warning", SUBJECT, domain, "there is no DMARC record", advice, wanted)]
    record = applicable.record
    if record.problem:
        return [Finding("error", SUBJECT, domain, record.problem, "Correct it: now it does nothing.", wanted)]
    found = [_of_policy(domain, record, applicable.domain)]
    if record.subdomain_policy and _STRICTNESS[record.subdomain_policy] < _STRICTNESS[record.policy]:
        fact = f"sp={record.subdomain_policy} protects the names below it less than p={record.policy} protects itself"
        found.append(Finding("warning", SUBJECT, domain, fact, "Take sp= away, unless mail from there fails DMARC."))
    if any(_PCT.search(text) for text in texts):
        found.append(
            Finding("note", SUBJECT, domain, "pct= no longer means anything", "Take it away; t=y is for tests.")
        )
    return [*found, *await _of_reports(resolver, applicable.domain, record)]


def _of_policy(domain: str, record: Record, owner: str) -> Finding:
    policy = record.policy if owner == domain else record.policy_of_subdomain(exists=True)
    whose = "" if owner == domain else f" (from {owner})"
    if policy == "none":
        advice = "Go on to p=quarantine and p=reject when the reports show only your own senders."
        return Finding("note", SUBJECT, domain, f"p=none{whose}: forged mail is only reported", advice)
    if record.testing:
        advice = "Take t=y away when the reports show only your own senders."
        return Finding("note", SUBJECT, domain, f"p={policy}{whose} with t=y: receivers do one step less", advice)
    return Finding("ok", SUBJECT, domain, f"p={policy}{whose}")


async def _of_reports(resolver: Resolver, owner: str, record: Record) -> list[Finding]:
    if not record.rua:
        advice = f"Add rua=mailto:postmaster@{owner} to see who sends in the domain's name."
        return [Finding("note", SUBJECT, owner, "nobody gets aggregate reports (no rua=)", advice)]
    found = []
    for uri in record.rua[:MAX_URIS]:
        if not uri.lower().startswith("mailto:"):
            advice = "Give a mailto: address: receivers send to no other (RFC 9989 4.7)."
            found.append(Finding("warning", SUBJECT, owner, f"rua={shown(uri)} is not an address", advice))
            continue
        host = uri[7:].partition("?")[0].rpartition("@")[2].lower().rstrip(".")
        found.append(await _of_destination(resolver, owner, host, shown(uri)))
    return found


async def _of_destination(resolver: Resolver, owner: str, host: str, uri: str) -> Finding:
    try:
        reachable = bool((await resolver.lookup(host, "MX")).records) or bool(await addresses_of(resolver, host))
        if not reachable:
            return Finding("error", SUBJECT, owner, f"rua={uri}: {shown(host)} takes no mail", "Correct the address.")
        walk = TreeWalk(resolver)
        if await walk.organizational_domain(host) != await walk.organizational_domain(owner):
            # RFC 9990 4: a destination of somebody else has to say that it wants these reports.
            name = f"{owner}._report._dmarc.{host}"
            if not any(is_record(text) for text in await texts_of(resolver, name)):
                fact = f"rua={uri}: {shown(host)} does not say that it takes reports about {owner}"
                advice = "Have it published there, or receivers send nothing (RFC 9990 4)."
                return Finding("error", SUBJECT, owner, fact, advice, txt_record(name, "v=DMARC1;"))
    except DnsFailure as failure:
        return Finding("warning", SUBJECT, owner, f"rua={uri}: {failure.cause}", "Look again later.")
    return Finding("ok", SUBJECT, owner, f"reports go to {uri}")
