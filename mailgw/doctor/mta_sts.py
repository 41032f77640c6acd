"""MTA-STS: do senders know that we have TLS, and whom to expect (RFC 8461)?"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from attrs import frozen

from mailgw.dns.interface import MxRecord, Resolver
from mailgw.doctor.certificate import names_host
from mailgw.doctor.finding import Finding, Level, shown, txt_record
from mailgw.doctor.questions import texts_of
from mailgw.doctor.site import Site, is_ours

SUBJECT = "MTA-STS"
# RFC 8461 3.2: weeks are usual; less than a day protects nobody.
MIN_AGE = 86400

_VERSION = re.compile(rb"v=STSv1\s*(?:;|\Z)")
_ID = re.compile(rb";\s*id\s*=\s*[A-Za-z0-9]{1,32}\s*(?:;|\Z)")

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets what stands at a URL. Raises FetchError."""


class FetchError(Exception):
    """It could not be had; the text says why."""


@frozen
class Policy:
    """RFC 8461 3.2. `mode` is empty where the text has none that is known."""

    mode: str
    exchanges: tuple[str, ...]
    max_age: int


def parse_policy(text: bytes) -> Policy | None:
    """Take the text of a policy; None when it is none."""
    fields: list[tuple[str, str]] = []
    for line in text.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        fields.append((name.strip(), value.strip()))
    first = dict(reversed(fields))
    if first.get("version") != "STSv1":
        return None
    mode = first.get("mode", "")
    age = first.get("max_age", "")
    exchanges = tuple(value.lower().rstrip(".") for name, value in fields if name == "mx")
    known = mode if mode in ("enforce", "testing", "none") else ""
    return Policy(known, exchanges, int(age) if age.isdecimal() and len(age) <= 10 else 0)


def allows(policy: Policy, host: str) -> bool:
    """Whether the policy names a host: a wildcard stands for one label (RFC 8461 4.1)."""
    above = host.partition(".")[2]
    return any(host == name or (name.startswith("*.") and above == name[2:]) for name in policy.exchanges)


async def check(resolver: Resolver, site: Site, domain: str, fetch: Fetch | None) -> list[Finding]:
    """Look at the domain's record and its policy; without `fetch` at the record alone. Raises DnsFailure."""
    texts = [text for text in await texts_of(resolver, f"_mta-sts.{domain}") if _VERSION.match(text)]
    url = f"https://mta-sts.{domain}/.well-known/mta-sts.txt"
    if not texts:
        advice = f"Publish a policy at {url} and the record, so that nobody can talk senders out of TLS."
        wanted = txt_record(f"_mta-sts.{domain}", "v=STSv1; id=1")
        return [Finding("note", SUBJECT, domain, "there is no MTA-STS", advice, wanted)]
    if len(texts) > 1 or not _ID.search(texts[0]):
        fact = f"the record cannot be used: {shown(b' and '.join(texts))}"
        return [Finding("warning", SUBJECT, domain, fact, 'Publish one like "v=STSv1; id=20260101".')]
    if fetch is None:
        return [Finding("note", SUBJECT, domain, f"there is a record; {url} was not looked at")]
    try:
        policy = parse_policy(await fetch(url))
    except FetchError as error:
        advice = "Make it available: until then senders go by what they remember, or without MTA-STS."
        return [Finding("warning", SUBJECT, domain, f"{url} cannot be had: {error}", advice)]
    if policy is None or not policy.mode:
        return [Finding("warning", SUBJECT, domain, f"{url} is no policy", "Correct it after RFC 8461 3.2.")]
    return await _of_policy(resolver, site, domain, policy)


async def _of_policy(resolver: Resolver, site: Site, domain: str, policy: Policy) -> list[Finding]:
    records = (await resolver.lookup(domain, "MX")).records
    exchanges = sorted(r.exchange for r in records if isinstance(r, MxRecord) and r.exchange)
    missing = [exchange for exchange in exchanges if not allows(policy, exchange)]
    found = []
    # RFC 8461 4.2: the certificate has to name the exchange.
    for exchange in exchanges if site.chain and policy.mode != "none" else ():
        if await is_ours(resolver, site, exchange) and not names_host(site.chain[0], exchange):
            fact = f"our certificate does not name the exchange {exchange}"
            advice = "Get one that does: senders with MTA-STS refuse this one."
            found.append(Finding(_severity(policy), SUBJECT, domain, fact, advice))
    if missing and policy.mode != "none":
        fact = f"the policy does not name the exchange {', '.join(missing)}"
        advice = "Add a line `mx:` for it, and change the record's id."
        found.append(Finding(_severity(policy), SUBJECT, domain, fact, advice))
    if policy.max_age < MIN_AGE:
        advice = "Give it a week (604800) or more: what is forgotten so soon protects nobody."
        found.append(Finding("warning", SUBJECT, domain, f"max_age is {policy.max_age}", advice))
    if policy.mode != "enforce":
        advice = "Go on to `mode: enforce` when TLS reports show no failures."
        found.append(Finding("note", SUBJECT, domain, f"the policy's mode is {policy.mode}", advice))
    return found or [Finding("ok", SUBJECT, domain, f"the policy is enforced for {', '.join(exchanges) or domain}")]


def _severity(policy: Policy) -> Level:
    """Where the policy is enforced, senders do not deliver at all (RFC 8461 5)."""
    return "error" if policy.mode == "enforce" else "warning"
