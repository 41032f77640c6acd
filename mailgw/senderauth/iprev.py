"""iprev (RFC 8601 3): does the client's address have a name that leads back to it?"""

from __future__ import annotations

import ipaddress

from attrs import frozen

from mailgw.dns.interface import DnsFailure, RecordType, Resolver
from mailgw.senderauth.gather import gather

# RFC 8601 3 wants a limit; most addresses have one name.
MAX_NAMES = 5


@frozen
class IprevResult:
    """`result` is pass, fail (no name leads back), permerror (no name) or temperror (DNS does not answer).

    `name` is the name that leads back, or for a fail the first one that does not; in lower case.
    """

    result: str
    name: str = ""


async def iprev(resolver: Resolver, address: str) -> IprevResult:
    """Look up the names of `address`, and the addresses of those names at once.

    Raises ValueError when `address` is no IP address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    type: RecordType = "A" if ip.version == 4 else "AAAA"
    try:
        answer = await resolver.lookup(ip.reverse_pointer, "PTR")
    except DnsFailure:
        return IprevResult("temperror")
    names = [name.lower() for name in answer.records if isinstance(name, str) and name][:MAX_NAMES]
    if not names:
        return IprevResult("permerror")
    found = await gather(_leads_to(resolver, name, type, str(ip)) for name in names)
    if True in found:
        return IprevResult("pass", names[found.index(True)])
    return IprevResult("temperror" if None in found else "fail", names[0])


async def _leads_to(resolver: Resolver, name: str, type: RecordType, address: str) -> bool | None:
    """Whether an address of the name is that one; None when DNS does not answer."""
    try:
        answer = await resolver.lookup(name, type)
    except DnsFailure:
        return None
    return address in answer.records
