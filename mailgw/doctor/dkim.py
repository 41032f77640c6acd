"""DKIM: are the keys that we sign with published (RFC 6376 3.6)?"""

from __future__ import annotations

from mailgw.delivery.dkim.publication import Publication, look_up, zone_line
from mailgw.dns.interface import Resolver
from mailgw.doctor.finding import Finding, shown
from mailgw.doctor.site import Site

SUBJECT = "DKIM"

_ADVICE = {
    "missing": "Publish it: what it signs does not verify.",
    "revoked": "Publish it again, or sign with another key.",
    "other": "Publish the key of the file, or put back the file of the key.",
    "invalid": "Correct the record.",
}


async def check(resolver: Resolver, site: Site, domain: str) -> list[Finding]:
    """Look at the records of the domain's keys."""
    if not site.signing:
        advice = "Set [signing] enabled, unless a next hop signs."
        return [Finding("warning", SUBJECT, domain, "signing is turned off", advice)]
    keys = [stored for stored in site.keys if stored.domain == domain]
    publications = await look_up(keys, resolver)
    findings = [_of(publication) for publication in publications]
    if f".{site.tls_reporter}".endswith(f".{domain}") and not all(found.for_tls_reports for found in publications):
        fact = "the s= of a key's record lets it sign no reports on TLS, which are sent from there"
        findings.append(Finding("warning", SUBJECT, domain, fact, "Take s= away, or add tlsrpt to it: RFC 8460 3."))
    if not any(stored.state == "active" for stored in keys):
        advice = f"Make a key with `mailgw dkim new-key {domain}`: much mail without a signature is refused."
        findings.append(Finding("warning", SUBJECT, domain, "mail from it goes out without a signature", advice))
    return findings


def _of(publication: Publication) -> Finding:
    stored = publication.stored
    which = f"the key {stored.selector} ({stored.algorithm}, {stored.state})"
    if publication.status == "published":
        if publication.text:
            fact = f"{which} is published, {publication.text}"
            return Finding("warning", SUBJECT, stored.domain, fact, "Take t=y away when signatures verify.")
        return Finding("ok", SUBJECT, stored.domain, f"{which} is published")
    fact = f"{which}: {shown(publication.text)}"
    if publication.status == "unknown":
        return Finding("warning", SUBJECT, stored.domain, fact, "Look again later.")
    if stored.state == "active":
        return Finding("error", SUBJECT, stored.domain, fact, _ADVICE[publication.status], zone_line(stored))
    if stored.state == "pending":
        advice = "Publish it before it signs."
        return Finding("note", SUBJECT, stored.domain, fact, advice, zone_line(stored))
    advice = "Leave its record until all that it has signed is delivered; then remove the key."
    return Finding("note", SUBJECT, stored.domain, fact, advice)
