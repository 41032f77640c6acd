"""SPF: may our addresses send with our domains, and can others evaluate the record (RFC 7208)?"""

from __future__ import annotations

from mailgw.dns.interface import Resolver
from mailgw.dns.questions import texts_of
from mailgw.doctor.finding import Finding, Level, shown, txt_record
from mailgw.doctor.site import Site
from mailgw.doctor.spf_terms import read_terms, spf_records
from mailgw.senderauth.spf import Spf

SUBJECT = "SPF"
MAX_LOOKUPS = 10  # RFC 7208 4.6.4
# RFC 7208 3.4: what fits into a datagram of 512 octets with the rest of the answer.
LARGE = 450

_ENDINGS: dict[str, tuple[Level, str, str]] = {
    "+all": ("error", "+all lets the whole world send in its name", "End the record with -all or ~all."),
    "?all": ("warning", "?all says nothing about strangers", "End the record with -all or ~all."),
    "": ("warning", "it ends without all, so that it says nothing about strangers", "End the record with -all."),
}
_RESULTS: dict[str, Level] = {"fail": "error", "permerror": "error"}


async def check(resolver: Resolver, site: Site, domain: str) -> list[Finding]:
    """Look at the domain's record. Raises DnsFailure."""
    records = spf_records(await texts_of(resolver, domain))
    terms = " ".join(f"ip{6 if ':' in address else 4}:{address}" for address in site.outgoing)
    wanted = txt_record(domain, f"v=spf1 {terms or 'mx'} -all")
    if not records:
        advice = "Publish one that names the hosts which send for the domain."
        return [Finding("warning", SUBJECT, domain, "there is no SPF record", advice, wanted)]
    if len(records) > 1:
        fact = f"there are {len(records)} SPF records: for receivers that is an error (RFC 7208 4.5)"
        return [Finding("error", SUBJECT, domain, fact, "Make one record of them.")]
    findings = [*await _coverage(resolver, site, domain), *await _form(resolver, domain, records[0])]
    return findings


async def _coverage(resolver: Resolver, site: Site, domain: str) -> list[Finding]:
    found = []
    for name in site.smarthosts:
        which = "some mail goes" if site.direct else "mail goes"
        fact = f"{which} out by the smarthost {name}, whose addresses only its operator knows"
        advice = "See that the record includes what the operator tells you."
        found.append(Finding("note", SUBJECT, domain, fact, advice))
    for address in site.outgoing if site.direct else ():
        result = await Spf(resolver, site.hostname).check(address, "postmaster", domain, site.ehlo)
        if result.result == "pass":
            found.append(Finding("ok", SUBJECT, domain, f"{address} may send ({shown(result.mechanism)})"))
            continue
        why = result.reason or result.mechanism or "no term matches"
        term = f"ip{6 if ':' in address else 4}:{address}"
        found.append(
            Finding(
                _RESULTS.get(result.result, "warning"),
                SUBJECT,
                domain,
                f"our address {address} gets {result.result} ({shown(why)})",
                f"Put {term} into the record, in front of all."
                if result.result not in ("permerror", "temperror")
                else "Correct the record: receivers cannot evaluate it.",
            )
        )
    return found


async def _form(resolver: Resolver, domain: str, record: str) -> list[Finding]:
    terms = await read_terms(resolver, record)
    found = []
    if terms.lookups > MAX_LOOKUPS:
        fact = f"it takes {terms.lookups} lookups, and receivers stop at {MAX_LOOKUPS} with an error"
        found.append(Finding("error", SUBJECT, domain, fact, "Replace some include, a or mx by their addresses."))
    elif terms.lookups >= MAX_LOOKUPS - 1:
        fact = f"it takes {terms.lookups} of the {MAX_LOOKUPS} lookups that receivers allow"
        found.append(Finding("warning", SUBJECT, domain, fact, "Replace some include, a or mx by their addresses."))
    else:
        found.append(Finding("ok", SUBJECT, domain, f"it takes {terms.lookups} of {MAX_LOOKUPS} lookups"))
    if terms.ending in _ENDINGS:
        level, fact, advice = _ENDINGS[terms.ending]
        found.append(Finding(level, SUBJECT, domain, fact, advice))
    if "ptr" in terms.mechanisms:
        advice = "Replace it by addresses: it is slow, and many receivers do not evaluate it (RFC 7208 5.5)."
        found.append(Finding("warning", SUBJECT, domain, "it uses ptr", advice))
    if len(record) > LARGE:
        fact = f"it has {len(record)} octets, so that answers may need TCP"
        found.append(Finding("note", SUBJECT, domain, fact, "Shorten it below 450 (RFC 7208 3.4)."))
    return found
