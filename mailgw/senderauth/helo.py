"""HELO: does the client call itself what it is (RFC 5321 4.1.1.1, 4.1.4)?

RFC 5321 4.1.4 forbids to refuse mail for a name that does not lead back, so it is only evidence.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from mailgw.dns.interface import DnsFailure, RecordType, Resolver
from mailgw.mail.address import AddressError, ascii_domain, literal_address, parse_domain
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Client

SYMBOLS: Mapping[str, float] = {
    "HELO_IS_US": 3.0,
    "HELO_BARE_IP": 2.0,
    "HELO_LOCALHOST": 2.0,
    "HELO_NOT_FQDN": 1.5,
    "HELO_OTHER_ADDRESS": 1.5,
    "HELO_UNKNOWN_NAME": 0.7,
    "HELO_MISMATCH": 0.3,
}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def check_helo(resolver: Resolver, client: Client, hostname: str) -> tuple[Evidence, ...]:
    """State what is wrong with the client's HELO. `hostname` is ours.

    Raises ValueError when the client's address is no IP address.
    """
    # LMTP is spoken by a mail server of ours, whose name is its own affair.
    if client.service == "lmtp":
        return ()
    address = ipaddress.ip_address(client.address.partition("%")[0])
    helo = client.helo.rstrip(".").lower()
    us = address.is_loopback or client.address == client.local.rpartition(":")[0]
    claimed = _claimed_address(helo)
    if claimed is not None:
        return tuple(_of_address(client, helo, claimed, address, us))
    if helo == "localhost" or helo.endswith((".localhost", "localhost.localdomain")):
        return () if us else (_evidence("HELO_LOCALHOST", f"calls itself {helo}"),)
    if helo == hostname.lower():
        return () if us else (_evidence("HELO_IS_US", f"calls itself {helo}, which is our name"),)
    try:
        name = ascii_domain(parse_domain(helo))
    except AddressError:
        name = ""
    if "." not in name or name.startswith("["):
        return (_evidence("HELO_NOT_FQDN", f"calls itself {_shown(helo)}, which is no full name (RFC 5321 4.1.1.1)"),)
    return await _of_name(resolver, name, address)


def _claimed_address(helo: str) -> Address | None:
    try:
        return literal_address(helo) if helo.startswith("[") else ipaddress.ip_address(helo)
    except ValueError:
        return None


def _of_address(client: Client, helo: str, claimed: Address, address: Address, us: bool) -> list[Evidence]:
    found = []
    if not helo.startswith("["):
        found.append(_evidence("HELO_BARE_IP", f"calls itself {helo}, without brackets (RFC 5321 4.1.3)"))
    if claimed != address and not us:
        if str(claimed) == client.local.rpartition(":")[0]:
            found.append(_evidence("HELO_IS_US", f"calls itself {helo}, which is our address"))
        else:
            found.append(_evidence("HELO_OTHER_ADDRESS", f"calls itself {helo} and is {address}"))
    return found


async def _of_name(resolver: Resolver, name: str, address: Address) -> tuple[Evidence, ...]:
    """Look the name up: in the client's address family, then, to tell a name without an address, in the other."""
    types: tuple[RecordType, RecordType] = ("A", "AAAA") if address.version == 4 else ("AAAA", "A")
    try:
        for type in types:
            records = (await resolver.lookup(name, type)).records
            if str(address) in records:
                return ()
            if records:
                return (_evidence("HELO_MISMATCH", f"calls itself {name}, which is not {address}"),)
    except DnsFailure:
        return ()
    return (_evidence("HELO_UNKNOWN_NAME", f"calls itself {name}, which has no address in DNS"),)


def _evidence(symbol: str, detail: str) -> Evidence:
    return Evidence(symbol, detail, source="helo")


def _shown(helo: str) -> str:
    return repr(helo[:80])
