"""TLS-RPT: does anybody tell us when TLS to us fails (RFC 8460)?"""

from __future__ import annotations

import re

from mailgw.dns.interface import Resolver
from mailgw.dns.questions import texts_of
from mailgw.doctor.finding import Finding, shown, txt_record
from mailgw.doctor.site import Site

SUBJECT = "TLS-RPT"

_VERSION = re.compile(rb"v=TLSRPTv1\s*(?:;|\Z)")
_RUA = re.compile(rb";\s*rua\s*=\s*(?:mailto:[^\s;,]+@[^\s;,]+|https://[^\s;,]+)", re.I)


async def check(resolver: Resolver, site: Site, domain: str) -> list[Finding]:
    """Look at the domain's record. Raises DnsFailure."""
    name = f"_smtp._tls.{domain}"
    texts = [text for text in await texts_of(resolver, name) if _VERSION.match(text)]
    wanted = txt_record(name, f"v=TLSRPTv1; rua=mailto:postmaster@{domain}")
    if not texts:
        advice = "Publish a record to hear from senders when TLS to this gateway fails."
        return [Finding("note", SUBJECT, domain, "nobody is told when TLS to us fails", advice, wanted)]
    if len(texts) > 1:
        # RFC 8460 3: then it is as if there were none.
        return [Finding("warning", SUBJECT, domain, f"there are {len(texts)} records, so none counts", "Leave one.")]
    if not _RUA.search(texts[0]):
        fact = f"the record names nobody who gets the reports: {shown(texts[0])}"
        return [Finding("warning", SUBJECT, domain, fact, "Give rua= a mailto: or https: URI.", wanted)]
    return [Finding("ok", SUBJECT, domain, shown(texts[0]))]
