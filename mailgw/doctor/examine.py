"""Runs all checks, at once."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Iterable, Sequence

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.doctor import certificate, dkim, dmarc, dnssec, mta_sts, mx, names, spf, tls_reports, tlsa
from mailgw.doctor.finding import Finding
from mailgw.doctor.site import Site, public_addresses
from mailgw.mta_sts.fetching import Fetch

log = Logger()


@frozen
class Step:
    """One check: what it looks at, whose, and the work."""

    subject: str
    about: str
    work: Callable[[], Awaitable[list[Finding]]]


async def examine(
    resolver: Resolver,
    site: Site,
    now: datetime.datetime,
    *,
    addresses: Sequence[str] = (),
    servers: str = "",
    untrusted: str = "",
    fetch: Fetch | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Finding]:
    """Look at everything; give the findings in a fixed order. What DNS does not tell is a finding too.

    `addresses` are ours, where DNS and the listeners do not tell; `servers` names the resolver's, `untrusted` those of
    them whose word on DNSSEC does not count; `fetch` gets MTA-STS policies. `on_progress` is told how many checks of
    how many are done.
    """
    found: list[Finding] = []
    try:
        sources = () if addresses else site.sources
        site = evolve(site, addresses=await public_addresses(resolver, site, addresses), sources=sources)
    except DnsFailure as failure:
        found.append(_unanswered("addresses", site.hostname, failure))
    steps = _steps(resolver, site, now, servers, untrusted, fetch)
    done = 0

    async def run(step: Step) -> list[Finding]:
        nonlocal done
        findings = await _run(step)
        done += 1
        on_progress(done, len(steps))
        return findings

    for findings in await gatherResults([Deferred.fromCoroutine(run(step)) for step in steps]):
        found += findings
    return found


def _steps(
    resolver: Resolver, site: Site, now: datetime.datetime, servers: str, untrusted: str, fetch: Fetch | None
) -> list[Step]:
    async def certificates() -> list[Finding]:
        return certificate.check(site, now)

    steps = [
        Step(dnssec.SUBJECT, servers, lambda: dnssec.check(resolver, site, servers, untrusted)),
        Step(names.HOST, site.ehlo, lambda: names.check_hostname(resolver, site)),
        *(_of_address(resolver, site, address) for address in site.addresses),
        Step(certificate.SUBJECT, site.hostname, certificates),
        Step(tlsa.SUBJECT, site.hostname, lambda: tlsa.check(resolver, site)),
    ]
    for domain in site.domains:
        steps += _of_domain(resolver, site, domain, fetch)
    return steps


def _of_address(resolver: Resolver, site: Site, address: str) -> Step:
    return Step(names.PTR, address, lambda: names.check_address(resolver, site, address))


def _of_domain(resolver: Resolver, site: Site, domain: str, fetch: Fetch | None) -> Iterable[Step]:
    def step(subject: str, check: Callable[[Resolver, Site, str], Awaitable[list[Finding]]]) -> Step:
        return Step(subject, domain, lambda: check(resolver, site, domain))

    yield step(mx.SUBJECT, mx.check)
    yield step(spf.SUBJECT, spf.check)
    yield step(dkim.SUBJECT, dkim.check)
    yield step(dmarc.SUBJECT, dmarc.check)
    yield Step(mta_sts.SUBJECT, domain, lambda: mta_sts.check(resolver, site, domain, fetch))
    yield step(tls_reports.SUBJECT, tls_reports.check)


async def _run(step: Step) -> list[Finding]:
    try:
        return await step.work()
    except DnsFailure as failure:
        return [_unanswered(step.subject, step.about, failure)]
    except Exception as error:  # one check's bug takes nothing from the others
        log.failure("the check of {subject} for {about} failed", subject=step.subject, about=step.about)
        advice = "This is a defect of mailgw: please report it."
        return [Finding("warning", step.subject, step.about, f"the check failed: {error!r}", advice)]


def _unanswered(subject: str, about: str, failure: DnsFailure) -> Finding:
    return Finding("warning", subject, about, f"DNS does not answer: {failure.cause}", "Look again later.")
