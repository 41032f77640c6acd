"""The hosts that an attempt would try, as DNS has them now: for `mailgw route --dns`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from mailgw.config.schema import Settings


@frozen
class Hosts:
    """What a next hop leads to: each host, in the order of the tries, with its addresses or why it has none; or what is
    wrong with all."""

    hosts: Mapping[str, tuple[str, ...] | str] = {}
    problem: str = ""


async def find_hosts(reactor: Any, settings: Settings, targets: Iterable[str]) -> dict[str, Hosts]:
    """Ask DNS about each `mx:DOMAIN` or `route:NAME`. Equal MX hosts come in a random order, as they are tried."""
    # What needs the reactor is imported here: other commands need not wait for it.
    from mailgw.delivery.classify import Unreachable
    from mailgw.delivery.sessions import Sessions
    from mailgw.dns.resolver import DnsResolver
    from mailgw.operation.threads import ThreadsInline

    entropy = random.SystemRandom()
    resolver = DnsResolver(reactor, settings.dns, entropy)
    # Nobody logs in: no password is read.
    routes = {name: evolve(route, username="", password_file="") for name, route in settings.routes.items()}
    sessions = Sessions(reactor, resolver, settings.relay, routes, settings.hostname, ThreadsInline(), entropy)
    found = {}
    for target in dict.fromkeys(targets):
        try:
            hops = await sessions.next_hops(target)
        except Unreachable as error:
            found[target] = Hosts(problem=f"{error.outcome.status} {error.outcome.reason}")
            continue
        hosts: dict[str, tuple[str, ...] | str] = {}
        for host, port in hops.hosts:
            try:
                hosts[f"{host}:{port}"] = await sessions.exchangers.addresses(host, hops.local.family)
            except Unreachable as error:
                hosts[f"{host}:{port}"] = error.outcome.reason
        found[target] = Hosts(hosts)
    await resolver.stop()
    return found
