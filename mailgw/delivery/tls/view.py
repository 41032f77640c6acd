"""Which TLS a domain's MX hosts would be spoken to with now, and who demands it: for `mailgw tls`."""

from __future__ import annotations

from attrs import frozen

from mailgw.delivery.classify import Unreachable
from mailgw.delivery.opening import Access
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.tlsa import presented
from mailgw.mta_sts.finder import PolicyFinder, Standing


@frozen
class HostView:
    """An MX host: how it is spoken to (`tls` is `dane` where TLSA records say it), who demands that, both in words
    (`way`), or why mail does not go there; and its TLSA records, if DNSSEC vouches for them."""

    host: str
    tls: str = ""
    basis: str = ""
    way: str = ""
    minimum_version: str = ""
    problem: str = ""
    tlsa: tuple[str, ...] = ()


@frozen
class PolicyView:
    """The MTA-STS policy in force. Times are in seconds since 1970."""

    mode: str
    id: str
    exchanges: tuple[str, ...]
    fetched: float
    expires: float


@frozen
class DomainView:
    """`signed`: DNSSEC vouches for the MX records. `problem` is why mail does not go now at all; `policy_problem` why
    the domain's present MTA-STS policy is not known; `ignored`: that does not count here."""

    domain: str
    hosts: tuple[HostView, ...] = ()
    signed: bool = False
    policy: PolicyView | None = None
    policy_problem: str = ""
    ignored: bool = False
    problem: str = ""


async def look_at(sessions: Sessions, finder: PolicyFinder, domain: str, *, ignored: bool = False) -> DomainView:
    """Find out what holds towards a domain (A-labels). Asks DNS and the domain's web server, and speaks with no MX
    host. `ignored` is whether `sessions` leave MTA-STS aside for it."""
    try:
        found = await sessions.exchangers.hosts(domain)
    except Unreachable as error:
        return DomainView(domain, problem=_words(error))
    standing = await finder.find(domain)
    problem = ""
    hosts: list[HostView] = []
    try:
        hops = await sessions.next_hops(f"mx:{domain}")
    except Unreachable as error:
        problem = _words(error)
        hosts = [_left_out(host) for host in found.names]
    else:
        ports = dict(hops.hosts)
        for host in found.names:
            if host not in ports:
                hosts.append(_left_out(host))
                continue
            try:
                access = await sessions.access(host, ports[host], hops, sessions.lookup_time())
            except Unreachable as error:
                hosts.append(HostView(host, problem=_words(error)))
            else:
                hosts.append(_host(host, access))
    return DomainView(
        domain,
        tuple(hosts),
        bool(found.proven),
        _policy(standing),
        standing.problem.reason if standing.problem else "",
        ignored,
        problem,
    )


def _left_out(host: str) -> HostView:
    return HostView(host, basis="mta-sts", problem="left out: the MTA-STS policy does not name it")


def _host(host: str, access: Access) -> HostView:
    tlsa = access.tlsa
    records = tuple(map(presented, tlsa.published)) if tlsa is not None else ()
    # What TLSA records say is more than `required`: the certificate has to fit them.
    tls = "dane" if tlsa is not None and tlsa.use else access.tls
    return HostView(host, tls, access.basis, access.way, access.minimum_version, tlsa=records)


def _policy(standing: Standing) -> PolicyView | None:
    kept = standing.kept
    if kept is None:
        return None
    policy = kept.policy
    return PolicyView(policy.mode, kept.id, policy.exchanges, kept.fetched, kept.expires)


def _words(error: Unreachable) -> str:
    return f"{error.outcome.status} {error.outcome.reason}"
