"""TLS towards recipient domains as the configuration wants it: [tls_policies]."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from mailgw.config import schema
from mailgw.delivery.opening import Access
from mailgw.mail.address import AddressError, ascii_domain


@frozen
class DomainPolicy:
    """How to speak with a domain's MX hosts at least, and whether what the domain says in MTA-STS counts."""

    access: Access
    mta_sts: bool = True


_OPPORTUNISTIC = DomainPolicy(Access())


class DomainPolicies:
    """Finds the policy of a domain: its own, else that of the closest `*.DOMAIN` above it."""

    def __init__(self, policies: Mapping[str, schema.TlsPolicy]) -> None:
        self._policies = {_key(name): _policy(policy) for name, policy in policies.items()}

    def find(self, domain: str) -> DomainPolicy:
        """Give the policy of a domain, in any spelling; an address literal has none."""
        if not self._policies:
            return _OPPORTUNISTIC
        try:
            name = ascii_domain(domain).removesuffix(".")
        except AddressError:
            return _OPPORTUNISTIC
        found = self._policies.get(name)
        while found is None and name:
            name = name.partition(".")[2]
            found = self._policies.get(f"*.{name}")
        return found or _OPPORTUNISTIC


def _policy(policy: schema.TlsPolicy) -> DomainPolicy:
    access = Access(
        policy.tls, basis="policy", dane="dane" not in policy.ignore, minimum_version=policy.minimum_version
    )
    # Who says `none` knows that the domain's TLS is of no use, whatever it publishes.
    return DomainPolicy(access, policy.tls != "none" and "mta-sts" not in policy.ignore)


def _key(name: str) -> str:
    return f"*.{ascii_domain(name[2:])}" if name.startswith("*.") else ascii_domain(name)
