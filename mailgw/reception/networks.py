"""IP networks: those that the configuration names, and those that clients are counted by."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

# Who has one IPv6 address has a whole /64, and could come from another address each time.
_HOST_PREFIX = 64
_SITE_PREFIX = 56
_KNOWN = 4096


class Networks:
    """A set of networks, to ask whether an address is in it."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Take networks as `192.0.2.0/24` or `2001:db8::/32`, or single addresses. Raises ValueError."""
        self._networks = tuple(ipaddress.ip_network(text) for text in networks)
        self._contains = lru_cache(_KNOWN)(self._look)

    def __contains__(self, address: str) -> bool:
        """Whether an IP address, as text, is in one of them. What is no address is in none."""
        return bool(self._networks) and self._contains(address)

    def _look(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


NO_NETWORKS = Networks(())


@lru_cache(_KNOWN)
def host_of(address: str) -> str:
    """What counts as one host: an IPv4 address, or the /64 of an IPv6 address."""
    return _masked(address, _HOST_PREFIX) if ":" in address else address


@lru_cache(_KNOWN)
def network_of(address: str) -> str:
    """The network of one customer or site, as limits count it: the /24 of an IPv4 address, the /56 of an IPv6 one."""
    if ":" in address:
        return _masked(address, _SITE_PREFIX)
    return f"{address.rpartition('.')[0]}.0/24"


def _masked(address: str, prefix: int) -> str:
    # A link-local address may carry a zone (RFC 4007 11), which is no part of the network.
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], prefix), strict=False))
    except ValueError:
        return address
