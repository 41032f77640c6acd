"""The resolver: does it answer, and does it validate DNSSEC?"""

from __future__ import annotations

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.dns.questions import is_validating
from mailgw.doctor.finding import Finding, Level
from mailgw.doctor.site import Site

SUBJECT = "resolver"


async def check(resolver: Resolver, site: Site, servers: str, untrusted: str = "") -> list[Finding]:
    """Ask for what is surely signed. `servers` names whom we ask, `untrusted` those of them whose word on DNSSEC does
    not count."""
    try:
        validating = await is_validating(resolver)
    except DnsFailure as failure:
        advice = "Look at [dns] servers: without DNS no mail can be judged or sent."
        return [Finding("error", SUBJECT, servers, f"it does not answer: {failure.cause}", advice)]
    level: Level = "warning" if site.dane else "note"
    if not validating:
        fact = "it does not say that answers are DNSSEC's, or is not trusted: mail goes out without DANE"
        advice = (
            "Use a validating resolver on this host (such as unbound), or name one in [dns] trust_authenticated. "
            "[relay] dane = false leaves DANE aside."
        )
        return [Finding(level, SUBJECT, servers, fact, advice)]
    found = [Finding("ok", SUBJECT, servers, "it validates DNSSEC, and we trust what it says")]
    if untrusted:
        fact = "what it says of DNSSEC is not trusted: while the others are silent, mail goes out without DANE"
        advice = "Take it from [dns] servers, or name it in trust_authenticated."
        found.append(Finding(level, SUBJECT, untrusted, fact, advice))
    return found
