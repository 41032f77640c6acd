"""Names: does our EHLO name lead to our addresses, and do they lead back (RFC 5321 4.1.1.1, RFC 8601 3)?"""

from __future__ import annotations

import ipaddress

from mailgw.dns.interface import Resolver
from mailgw.dns.questions import addresses_of, texts_of
from mailgw.doctor.finding import Finding, txt_record
from mailgw.doctor.site import Site
from mailgw.doctor.spf_terms import spf_records
from mailgw.senderauth.iprev import iprev
from mailgw.senderauth.spf import Spf

HOST = "hostname"
PTR = "PTR"
HELO = "SPF of HELO"


async def check_hostname(resolver: Resolver, site: Site) -> list[Finding]:
    """Look at the name that we say in EHLO. Raises DnsFailure."""
    found = []
    addresses = await addresses_of(resolver, site.ehlo)
    if (await resolver.lookup(site.ehlo, "CNAME")).records:
        advice = "Give it addresses of its own: an EHLO name is no alias (RFC 5321 2.3.5)."
        found.append(Finding("warning", HOST, site.ehlo, "our EHLO name is a CNAME", advice))
    if not addresses:
        kinds = [f"{site.ehlo}. IN {'AAAA' if ':' in a else 'A'} {a}" for a in site.outgoing[:1]]
        advice = "Publish its address: many servers refuse a host whose name leads nowhere."
        return [*found, Finding("error", HOST, site.ehlo, "our EHLO name has no address", advice, "".join(kinds))]
    strange = [address for address in site.outgoing if address not in addresses]
    if strange:
        address = strange[0]
        fact = f"our EHLO name leads to {', '.join(addresses)}, and not to our address {', '.join(strange)}"
        record = f"{site.ehlo}. IN {'AAAA' if ':' in address else 'A'} {address}"
        found.append(Finding("warning", HOST, site.ehlo, fact, "Publish that address as well.", record))
    else:
        found.append(Finding("ok", HOST, site.ehlo, f"our EHLO name leads to {', '.join(addresses)}"))
    return [*found, await _helo_spf(resolver, site)]


async def _helo_spf(resolver: Resolver, site: Site) -> Finding:
    """RFC 7208 2.3: receivers check HELO too; and reports, which have no sender, have nothing else (2.4)."""
    wanted = txt_record(site.ehlo, "v=spf1 a -all")
    if not spf_records(await texts_of(resolver, site.ehlo)):
        advice = "Publish one: reports have only this name to be checked by."
        return Finding("note", HELO, site.ehlo, "our EHLO name has no SPF record", advice, wanted)
    for address in site.outgoing:
        result = await Spf(resolver, site.ehlo).check(address, "postmaster", site.ehlo, site.ehlo)
        if result.result != "pass":
            fact = f"our address {address} gets {result.result} for our EHLO name"
            return Finding("error", HELO, site.ehlo, fact, "Put our addresses into its record.", wanted)
    return Finding("ok", HELO, site.ehlo, "our addresses may use our EHLO name")


async def check_address(resolver: Resolver, site: Site, address: str) -> list[Finding]:
    """Look at the name of one of our addresses. DNS that does not answer is a finding."""
    result = await iprev(resolver, address)
    name = site.name_of(address)
    record = f"{ipaddress.ip_address(address).reverse_pointer}. IN PTR {name}."
    ask = f"Ask who gave you the address to set it to {name}."
    if result.result == "temperror":
        return [Finding("warning", PTR, address, "DNS does not tell the name of the address", "Look again later.")]
    if result.result == "permerror":
        fact = "the address has no name in DNS: many servers refuse it"
        return [Finding("error", PTR, address, fact, ask, record)]
    if result.result == "fail":
        fact = f"its name {result.name} does not lead back to it: many servers refuse that"
        return [Finding("error", PTR, address, fact, ask, record)]
    if result.name != name:
        fact = f"its name {result.name} is not our EHLO name {name}"
        return [Finding("warning", PTR, address, fact, "Make them the same: some servers compare them.", record)]
    return [Finding("ok", PTR, address, f"its name is {result.name}, and leads back")]
