"""Where a domain's reports go: its rua= URIs, and the consent of those outside of it (RFC 9990)."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from attrs import frozen

from mailgw.dns.interface import Resolver
from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.dmarc import PublishedPolicy
from mailgw.senderauth.dmarc_record import find_permission
from mailgw.senderauth.tree_walk import TreeWalk

_MAX_NAME = 253


@frozen
class Destinations:
    """`granted` get the report; `refused` are URIs that do not, each with its reason."""

    granted: tuple[Mailbox, ...]
    refused: tuple[tuple[str, str], ...] = ()


async def find_destinations(resolver: Resolver, published: PublishedPolicy) -> Destinations:
    """Look at each URI in its order. Raises DnsFailure when DNS does not tell of one: it may by and by."""
    walk = TreeWalk(resolver)
    granted: dict[Mailbox, None] = {}
    refused: list[tuple[str, str]] = []
    for uri in published.rua:
        mailbox = mailbox_of(uri)
        if mailbox is None:
            refused.append((uri, "it is no mailto: URI with an address"))
            continue
        allowed, reason = await _consent(resolver, walk, published.domain, mailbox)
        granted.update(dict.fromkeys(allowed))
        if reason:
            refused.append((uri, reason))
    return Destinations(tuple(granted), tuple(refused))


def mailbox_of(uri: str) -> Mailbox | None:
    """Give the address of a mailto: URI (RFC 6068); None where it is another, or has none that mail can go to."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "mailto":
        return None
    try:
        mailbox = Mailbox.parse(unquote(rest.partition("?")[0]))
    except AddressError:
        return None
    return mailbox if mailbox.is_ascii and not mailbox.domain.startswith("[") else None


async def _consent(resolver: Resolver, walk: TreeWalk, domain: str, mailbox: Mailbox) -> tuple[Iterable[Mailbox], str]:
    """RFC 9990 "Verifying External Destinations"; the numbers are its steps."""
    host = mailbox.ascii_domain
    if await walk.organizational_domain(domain) == await walk.organizational_domain(host):
        return [mailbox], ""
    name = f"{domain}._report._dmarc.{host}"  # 1, 2, 3
    if len(name) > _MAX_NAME:  # 4
        return (), f"{host} cannot be asked: the name would be too long"
    answer = await resolver.lookup(name, "TXT")  # 5
    instead = find_permission(answer.records)  # 6
    if instead is None:  # 7
        return (), f"{host} does not agree: there is no DMARC record under {name}"
    if not instead:  # 8
        return [mailbox], ""
    others = [mailbox_of(uri) for uri in instead]  # 9
    good = [other for other in others if other is not None and other.ascii_domain == host]
    if len(good) < len(others):
        return (), f"{name} leads to another host"
    return good, ""
