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
from mailgw.delivery.opening import Access
from mailgw.delivery.tls.domain_policies import DomainPolicies
from mailgw.delivery.tls.results import TlsObserver, not_named
from mailgw.mail.address import AddressError, ascii_domain
from mailgw.mail.tlsresult import NO_POLICY, AppliedPolicy, FailureType, TlsResult
from mailgw.mta_sts.finder import NONE, PolicyFinder, Problem, Standing, Trouble
from mailgw.mta_sts.policy import Policy
from mailgw.mta_sts.store import Kept
from mailgw.operation.peer_certificate import is_address
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
    """What was chosen: `hosts` may be tried, in this order. `standing` is what MTA-STS says of the domain, and
    `unnamed` are those of `all_hosts` that its policy does not name."""

    access: Access
    hosts: tuple[str, ...]
    standing: Standing = NONE
    all_hosts: tuple[str, ...] = ()
    unnamed: frozenset[str] = frozenset()

    @property
    def policy(self) -> AppliedPolicy:
        """What sessions are reported to be held to."""
        return applied(self.standing.policy)

    def passed_over(self, host: str) -> Sequence[str]:
        """Give the hosts that would have been tried just before this one, were they named."""
        passed: list[str] = []
        if self.unnamed and host not in self.unnamed:
            for other in self.all_hosts[: self.all_hosts.index(host)]:
                passed = [*passed, other] if other in self.unnamed else []
        return passed


class AccessChooser:
    """Chooses. Without a `finder` MTA-STS is left aside; `observer` is told when a policy names none of the hosts."""

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

    async def choose(self, domain: str, hosts: Sequence[str], *, held: bool = True, wait: bool = True) -> Choice:
        """Choose for a recipient domain and its MX hosts. Raises Unreachable where none of them may be tried.

        What is not `held` to the domain's policy may go to all of them. Without `wait` it takes no longer than a
        question to DNS: a policy that is not known yet is left out, and nobody is told anything.
        """
        own = self._policies.find(domain)
        everybody = Choice(own.access, tuple(hosts))
        name = _policy_domain(domain)
        if self._finder is None or not held or not own.mta_sts or not name:
            return everybody
        standing = await self._finder.find(name, wait=wait)
        if wait and _leaves_nobody(standing.policy, hosts):
            standing = await self._finder.find(name, doubt=True)
        policy = standing.policy
        if policy is None:
            return evolve(everybody, standing=standing)
        named = tuple(host for host in hosts if policy.names(host))
        choice = evolve(everybody, standing=standing, all_hosts=tuple(hosts), unnamed=frozenset(hosts) - set(named))
        if policy.mode != "enforce":
            return choice
        if not named:
            if wait and self._observer is not None:
                for host in hosts:
                    self._observer(not_named(name, applied(policy), host))
            raise Unreachable(_nobody(domain, hosts, standing))
        # RFC 8461 4.2, 5: TLS with a certificate that names the host. What [tls_policies] wants beyond stays.
        return evolve(choice, access=evolve(own.access, tls="verified", basis="mta-sts"), hosts=named)

    async def of_smarthost(self, host: str, access: Access) -> Access:
        """Give how to speak with a host of a route, where it is otherwise spoken to by `access`: its own name is the
        Policy Domain (RFC 8461 3.4). Raises Unreachable where its policy does not name it."""
        if is_address(host):
            return access
        choice = await self.choose(host, (host,))
        return evolve(access, tls="verified", basis="mta-sts") if choice.access.basis == "mta-sts" else access


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
        'the domain has to correct one of them; to send nonetheless: tls = "opportunistic" and ignore = ["mta-sts"] '
        f'in [tls_policies."{domain}"]'
    )
    return Delayed("4.7.5", reason)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
