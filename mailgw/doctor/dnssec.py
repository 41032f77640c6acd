"""The resolver: does it answer, and does it validate DNSSEC?"""

from __future__ import annotations

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.doctor.finding import Finding

SUBJECT = "resolver"
# A zone that has been signed since 2009.
SIGNED = "org"


async def check(resolver: Resolver, servers: str) -> list[Finding]:
    """Ask for what is surely signed. `servers` names whom we ask."""
    try:
        answer = await resolver.lookup(SIGNED, "SOA")
    except DnsFailure as failure:
        advice = "Look at [dns] servers: without DNS no mail can be judged or sent."
        return [Finding("error", SUBJECT, servers, f"it does not answer: {failure.cause}", advice)]
    if answer.authenticated:
        return [Finding("ok", SUBJECT, servers, "it validates DNSSEC, and we trust what it says")]
    advice = (
        "For DANE use a validating resolver on this host (such as unbound), or name one in [dns] trust_authenticated."
    )
    return [Finding("note", SUBJECT, servers, "it does not say that answers are DNSSEC's, or is not trusted", advice)]
