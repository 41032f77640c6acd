"""TLS towards recipient domains as the configuration wants it: [tls_policies]."""

from __future__ import annotations

from collections.abc import Mapping

from mailgw.config import schema
from mailgw.delivery.opening import Access
from mailgw.mail.address import AddressError, ascii_domain

_OPPORTUNISTIC = Access()


class DomainPolicies:
    """Finds the policy of a domain: its own, else that of the closest `*.DOMAIN` above it."""

    def __init__(self, policies: Mapping[str, schema.TlsPolicy]) -> None:
        self._access = {_key(name): Access(policy.tls, basis="policy") for name, policy in policies.items()}

    def access(self, domain: str) -> Access:
        """Give how to speak with the MX hosts of a domain, in any spelling; an address literal has no policy."""
        if not self._access:
            return _OPPORTUNISTIC
        try:
            name = ascii_domain(domain).removesuffix(".")
        except AddressError:
            return _OPPORTUNISTIC
        found = self._access.get(name)
        while found is None and name:
            name = name.partition(".")[2]
            found = self._access.get(f"*.{name}")
        return found or _OPPORTUNISTIC


def _key(name: str) -> str:
    return f"*.{ascii_domain(name[2:])}" if name.startswith("*.") else ascii_domain(name)
