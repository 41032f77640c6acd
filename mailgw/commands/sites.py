"""`--site`: which destinations of the queue belong to a site, as DNS has it now."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import click

from mailgw.commands.configuration import read_settings
from mailgw.commands.output import printable, progress
from mailgw.commands.queues import open_queues
from mailgw.commands.running import run_in_reactor
from mailgw.config.schema import Settings
from mailgw.queue.item import ANY_TLS, Destination
from mailgw.queue.listing import Listing
from mailgw.queue.quarantine import destination_behind

Hosts = Mapping[str, Collection[str]]
"""The MX hosts of domains; of those that take no mail, or that DNS does not tell now, none."""

# Domains asked for at the same time.
_AT_ONCE = 50
_NAMED = 5


def destinations_of(site: str) -> frozenset[str]:
    """Give those in the queues that belong to a site: `route:NAME`; a domain, with all that share its MX hosts; an MX
    host, with all domains that it serves; or `mx:HOST,HOST` as in the log."""
    with open_queues(Listing) as listings:
        names = {name for listing in listings for name in listing.destinations()}
    if site.startswith("route:"):
        return frozenset(name for name in names if _target(name) == site)
    domains = {target.removeprefix("mx:") for target in map(_target, names) if target.startswith("mx:")}
    asked = site.lower().rstrip(".").removeprefix("mx:").partition(";")[0]  # behind it: how TLS is spoken
    hosts = _ask(read_settings(), domains if "," in asked else {*domains, asked})
    unknown = sorted(domain for domain in domains if not hosts.get(domain) and domain != asked)
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        click.echo(printable(f"left out, without MX hosts now: {', '.join(unknown[:_NAMED])}{more}"), err=True)
    chosen = share_site(asked, domains, hosts)
    return frozenset(name for name in names if _target(name).removeprefix("mx:") in chosen)


def share_site(asked: str, domains: Iterable[str], hosts: Hosts) -> frozenset[str]:
    """Give the domains that belong to the site that is `asked` for: a domain, an MX host, or several hosts."""
    wanted = frozenset(asked.split(",")) if "," in asked else frozenset(hosts.get(asked, ()))
    return frozenset(
        domain
        for domain in domains
        if domain == asked or asked in hosts.get(domain, ()) or (wanted and wanted == frozenset(hosts.get(domain, ())))
    )


def _target(name: str) -> str:
    kind, _, rest = destination_behind(Destination.parse(name)).target.partition(":")
    return f"{'mx' if kind == ANY_TLS else kind}:{rest}"


def _ask(settings: Settings, domains: Collection[str]) -> Hosts:
    found: dict[str, Collection[str]] = {}

    async def ask(reactor: Any) -> None:
        # What needs the reactor is imported here: other commands need not wait for it.
        from twisted.internet.defer import Deferred, gatherResults

        from mailgw.delivery.classify import Unreachable
        from mailgw.delivery.mx import MailExchangers
        from mailgw.dns.resolver import DnsResolver

        entropy = random.SystemRandom()
        resolver = DnsResolver(reactor, settings.dns, entropy)
        exchangers = MailExchangers(resolver, settings.hostname, entropy)
        left = iter(domains)

        async def ask_some() -> None:
            for domain in left:
                try:
                    found[domain] = (await exchangers.hosts(domain)).names
                except Unreachable:
                    found[domain] = ()
                advance(1)

        await gatherResults([Deferred.fromCoroutine(ask_some()) for _ in range(_AT_ONCE)])
        await resolver.stop()

    with progress("asking DNS for MX hosts", len(domains)) as advance:
        run_in_reactor(ask)
    return found
