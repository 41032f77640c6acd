"""What is wrong with [sites]."""

from __future__ import annotations

from collections.abc import Iterator

from mailgw.config.check_relay import check_next_hop
from mailgw.config.schema import Settings
from mailgw.config.text import quote_key
from mailgw.mail.address import AddressError, ascii_domain, parse_domain

Finding = tuple[str, str]


def check_sites(settings: Settings) -> Iterator[Finding]:
    """Give (key, what is wrong with it)."""
    for name, rule in settings.sites.items():
        section = f"sites.{quote_key(name)}"
        if name.startswith("route:"):
            yield from check_next_hop(section, name, "*", settings.routes)
        elif name != "*":
            try:
                ascii_domain(parse_domain(name.removeprefix("*.")))
            except AddressError as error:
                yield section, f'is named for no MX host, no "*." and a domain, no "route:NAME", and not "*": {error}'
        if rule.messages and not rule.period:
            yield f"{section}.period", "is 0, and `messages` needs one"
