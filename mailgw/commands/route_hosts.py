"""The hosts that an attempt would try, as DNS has them now: for `mailgw route --dns`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mailgw.commands.nexthops import make_look
from mailgw.config.endpoints import is_socket
from mailgw.config.schema import Settings

if TYPE_CHECKING:
    from mailgw.delivery.sessions import Sessions


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
    look = make_look(reactor, settings)
    found = {target: await _find(look.sessions, target) for target in dict.fromkeys(targets)}
    await look.end()
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
        name = host if is_socket(host) else f"{host}:{port}"
        try:
            hosts[name] = await sessions.exchangers.addresses(host, hops.local.family)
            tls[name] = (await sessions.access(host, port, hops, sessions.lookup_time())).way
        except Unreachable as error:
            hosts[name] = error.outcome.reason
    return Hosts(hosts, tls)
