"""How to speak with the MX hosts of a domain, and with which of them: MTA-STS, [tls_policies], or what is usual.

DANE comes before them (features 4.5), host by host as they are connected to. It says how a host proves its name; it
does not bring back a host that MTA-STS leaves out (RFC 8461 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from attrs import evolve, frozen

from mailgw.config import schema
from mailgw.delivery.classify import Unreachable
from mailgw.delivery.domainpolicies import DomainPolicies
from mailgw.delivery.opening import Access
from mailgw.delivery.tlsresults import TlsObserver
from mailgw.mail.address import AddressError, ascii_domain
from mailgw.mail.tlsresult import NO_POLICY, AppliedPolicy, FailureType, TlsResult
from mailgw.mta_sts.finder import NONE, PolicyFinder, Problem, Standing, Trouble
from mailgw.mta_sts.policy import Policy
from mailgw.mta_sts.store import Kept
from mailgw.queue.item import Delayed

# RFC 8460 4.3.2.2.
_FAILURES: dict[Trouble, FailureType] = {
    "fetch": "sts-policy-fetch-error",
    "webpki": "sts-webpki-invalid",
    "invalid": "sts-policy-invalid",
}
_SHOWN = 5


@frozen
class Choice:
    """What was chosen: `hosts` may be tried, in this order. `standing` is what MTA-STS says of the domain."""

    access: Access
    hosts: tuple[str, ...]
    standing: Standing = NONE

    @property
    def policy(self) -> AppliedPolicy:
        """What sessions are reported to be held to."""
        return applied(self.standing.policy)


class AccessChooser:
    """Chooses. Without a `finder` MTA-STS is left aside; `observer` is told of hosts that a policy does not name."""

    def __init__(
        self,
        policies: Mapping[str, schema.TlsPolicy],
        finder: PolicyFinder | None = None,
        observer: TlsObserver | None = None,
    ) -> None:
        self._policies = DomainPolicies(policies)
        self._finder = finder
        self._observer = observer

    def become(self, policies: Mapping[str, schema.TlsPolicy]) -> None:
        """Go on by another [tls_policies]."""
        self._policies = DomainPolicies(policies)

    async def choose(self, domain: str, hosts: Sequence[str], *, wait: bool = True) -> Choice:
        """Choose for a recipient domain and its MX hosts. Raises Unreachable where none of them may be tried.

        Without `wait` it takes no longer than a question to DNS: a policy that is not known yet is left out, and
        nobody is told anything.
        """
        own = self._policies.find(domain)
        everybody = Choice(own.access, tuple(hosts))
        name = _policy_domain(domain)
        if self._finder is None or not own.mta_sts or not name:
            return everybody
        standing = await self._finder.find(name, wait=wait)
        if wait and _leaves_nobody(standing.policy, hosts):
            standing = await self._finder.find(name, doubt=True)
        policy = standing.policy
        if policy is None:
            return evolve(everybody, standing=standing)
        named = tuple(host for host in hosts if policy.names(host))
        if wait:
            self._tell(name, policy, [host for host in hosts if host not in named])
        if policy.mode != "enforce":
            return evolve(everybody, standing=standing)
        if not named:
            raise Unreachable(_nobody(domain, hosts, standing))
        # RFC 8461 4.2, 5: TLS with a certificate that names the host. What [tls_policies] wants beyond stays.
        return Choice(evolve(own.access, tls="verified", basis="mta-sts"), named, standing)

    def _tell(self, domain: str, policy: Policy, hosts: Sequence[str]) -> None:
        if self._observer is not None:
            for host in hosts:
                reason = "the MTA-STS policy does not name the host"
                self._observer(
                    TlsResult(domain, applied(policy), failure="validation-failure", mx_host=host, reason=reason)
                )


def applied(policy: Policy | None) -> AppliedPolicy:
    """A policy as reports have it (RFC 8460 4.4)."""
    if policy is None or policy.mode == "none":
        return NO_POLICY
    return AppliedPolicy("sts", policy.lines, policy.exchanges)


def problem_result(domain: str, kept: Kept | None, problem: Problem) -> TlsResult | None:
    """What a policy that cannot be had is in reports; None where they have no word for it."""
    failure = _FAILURES.get(problem.kind)
    if failure is None:
        return None
    # RFC 8460 4.4: of a policy that cannot be had there is nothing to show but that there is one.
    policy = applied(kept.policy) if kept is not None else AppliedPolicy("sts")
    return TlsResult(domain, policy, failure=failure, reason=problem.reason)


def _policy_domain(domain: str) -> str:
    """RFC 8461 3.4: the recipient domain itself, never one above it; an address literal has no policy."""
    if domain.startswith("["):
        return ""
    try:
        return ascii_domain(domain).lower().removesuffix(".")
    except AddressError:
        return ""


def _leaves_nobody(policy: Policy | None, hosts: Sequence[str]) -> bool:
    return policy is not None and policy.mode == "enforce" and not any(policy.names(host) for host in hosts)


def _nobody(domain: str, hosts: Sequence[str], standing: Standing) -> Delayed:
    kept = standing.kept
    assert kept is not None
    fetched = datetime.fromtimestamp(kept.fetched, UTC)
    reason = (
        f"none of the MX hosts of {domain} ({_listed(hosts)}) is in its MTA-STS policy, which names "
        f"{_listed(kept.policy.exchanges)} (mode enforce, id {kept.id}, fetched {fetched:%Y-%m-%d %H:%M} UTC): "
        f'the domain has to correct one of them; to send nonetheless: [tls_policies."{domain}"] ignore = ["mta-sts"]'
    )
    return Delayed("4.7.5", reason)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
