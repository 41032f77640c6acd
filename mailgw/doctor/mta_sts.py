"""MTA-STS: do senders know that we have TLS, and whom to expect (RFC 8461)?"""

from __future__ import annotations

from mailgw.dns.interface import MxRecord, Resolver
from mailgw.dns.questions import texts_of
from mailgw.doctor.certificate import names_host
from mailgw.doctor.finding import Finding, Level, shown, txt_record
from mailgw.doctor.site import Site, is_ours
from mailgw.mta_sts.fetching import Fetch, FetchError
from mailgw.mta_sts.policy import Policy, PolicyError, parse_policy
from mailgw.mta_sts.record import RecordError, policy_id, policy_url, record_name, records_of

SUBJECT = "MTA-STS"
# RFC 8461 3.2: weeks are usual; less than a day protects nobody.
MIN_AGE = 86400


async def check(resolver: Resolver, site: Site, domain: str, fetch: Fetch | None) -> list[Finding]:
    """Look at the domain's record and its policy; without `fetch` at the record alone. Raises DnsFailure."""
    texts = records_of(await texts_of(resolver, record_name(domain)))
    url = policy_url(domain)
    if not texts:
        advice = f"Publish a policy at {url} and the record, so that nobody can talk senders out of TLS."
        wanted = txt_record(record_name(domain), "v=STSv1; id=1")
        return [Finding("note", SUBJECT, domain, "there is no MTA-STS", advice, wanted)]
    try:
        policy_id(texts)
    except RecordError as error:
        fact = f"the record cannot be used ({error}): {shown(b' and '.join(texts))}"
        return [Finding("warning", SUBJECT, domain, fact, 'Publish one like "v=STSv1; id=20260101".')]
    if fetch is None:
        return [Finding("note", SUBJECT, domain, f"there is a record; {url} was not looked at")]
    try:
        policy = parse_policy(await fetch(url))
    except FetchError as error:
        advice = "Make it available: until then senders go by what they remember, or without MTA-STS."
        return [Finding("warning", SUBJECT, domain, f"{url} cannot be had: {error}", advice)]
    except PolicyError as error:
        return [Finding("warning", SUBJECT, domain, f"{url} is no policy: {error}", "Correct it after RFC 8461 3.2.")]
    return await _of_policy(resolver, site, domain, policy)


async def _of_policy(resolver: Resolver, site: Site, domain: str, policy: Policy) -> list[Finding]:
    records = (await resolver.lookup(domain, "MX")).records
    exchanges = sorted(r.exchange for r in records if isinstance(r, MxRecord) and r.exchange)
    missing = [exchange for exchange in exchanges if not policy.names(exchange)]
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
