"""The hosts that an attempt would try, as DNS has them now: for `mailgw route --dns`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve, frozen

from mailgw.config.schema import Settings

if TYPE_CHECKING:
    from mailgw.delivery.sessions import Sessions
    from mailgw.mta_sts.store import Kept


@frozen
class Hosts:
    """What a next hop leads to: each host, in the order of the tries, with its addresses or why it has none, and how it
    would be spoken to; or what is wrong with all."""

    hosts: Mapping[str, tuple[str, ...] | str] = {}
    tls: Mapping[str, str] = {}
    problem: str = ""


async def find_hosts(reactor: Any, settings: Settings, targets: Iterable[str]) -> dict[str, Hosts]:
    """Ask DNS about each `mx:DOMAIN` or `route:NAME`, and domains for their MTA-STS policies. Equal MX hosts come in a
    random order, as they are tried. Raises ClickException for a file of certificates that is wrong."""
    # What needs the reactor is imported here: other commands need not wait for it.
    from mailgw.delivery.choice import AccessChooser
    from mailgw.delivery.clienttls import TrustError, read_trust
    from mailgw.delivery.sessions import Sessions
    from mailgw.dns.resolver import DnsResolver
    from mailgw.mta_sts.fetching import PolicyFetcher
    from mailgw.mta_sts.finder import PolicyFinder
    from mailgw.operation.threads import ThreadsInline

    entropy = random.SystemRandom()
    resolver = DnsResolver(reactor, settings.dns, entropy)
    try:
        fetcher = PolicyFetcher(reactor, resolver, read_trust(settings.relay.ca_file))
    except TrustError as error:
        raise click.ClickException(str(error)) from None
    finder = PolicyFinder(resolver, fetcher, _NoStore(), reactor)
    chooser = AccessChooser(settings.tls_policies, finder if settings.relay.mta_sts else None)
    # Nobody logs in: no password is read.
    routes = {name: evolve(route, username="", password_file="") for name, route in settings.routes.items()}
    threads = ThreadsInline()
    sessions = Sessions(reactor, resolver, settings.relay, routes, settings.hostname, threads, entropy, chooser=chooser)
    found = {target: await _find(sessions, target) for target in dict.fromkeys(targets)}
    finder.stop()
    await resolver.stop()
    return found


async def _find(sessions: Sessions, target: str) -> Hosts:
    from mailgw.delivery.classify import Unreachable

    try:
        hops = await sessions.next_hops(target)
    except Unreachable as error:
        return Hosts(problem=f"{error.outcome.status} {error.outcome.reason}")
    hosts: dict[str, tuple[str, ...] | str] = {}
    tls: dict[str, str] = {}
    for host, port in hops.hosts:
        name = f"{host}:{port}"
        try:
            hosts[name] = await sessions.exchangers.addresses(host, hops.local.family)
            tls[name] = (await sessions.access(host, port, hops, sessions.lookup_time())).way
        except Unreachable as error:
            hosts[name] = error.outcome.reason
    return Hosts(hosts, tls)


class _NoStore:
    """A PolicyStore for a look from outside: what the gateway keeps is its own."""

    async def get(self, domain: str) -> Kept | None:
        return None

    async def put(self, kept: Kept) -> None:
        """Forget it."""

    def note_used(self, domain: str, now: float) -> None:
        """Forget it."""

    async def due(self, fetched_before: float, used_after: float, limit: int) -> list[Kept]:
        return []
