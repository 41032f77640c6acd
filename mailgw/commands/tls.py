"""`mailgw tls`: which TLS holds towards a domain, and why."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
from rich.table import Table

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.nexthops import make_look, policies_file
from mailgw.commands.output import console, moment, printable
from mailgw.commands.running import run_in_reactor
from mailgw.config.schema import Settings
from mailgw.mail.address import AddressError, ascii_domain, parse_domain
from mailgw.mta_sts.store import MIGRATIONS, forget
from mailgw.state.database import StateUnusable, connect, transact

if TYPE_CHECKING:
    from mailgw.delivery.tls.view import DomainView, HostView


@click.command()
@config_option
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True)
@click.option("--forget", "forgotten", is_flag=True, help="Forget the MTA-STS policies that are kept of them first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def tls(domains: tuple[str, ...], forgotten: bool, as_json: bool) -> None:
    """Say which TLS holds towards the MX hosts of domains, and who demands it: DANE, MTA-STS or [tls_policies].

    Asks DNS and the web servers of MTA-STS, and speaks with no MX host. A policy that was forgotten is fetched anew
    with the next mail; a running gateway notices within a minute. Ends with 1 when mail to one of them does not go now.
    """
    settings = read_settings()
    names = [_name(domain) for domain in domains]
    if forgotten:
        for name in names:
            kept = _forget(policies_file(settings), name)
            click.echo(f"{name}: {'its policy is forgotten' if kept else 'no policy was kept'}", err=True)
    views: list[DomainView] = []
    run_in_reactor(lambda reactor: _look(reactor, settings, names, views))
    if as_json:
        for view in views:
            click.echo(json.dumps(attrs.asdict(view)))
    else:
        for view in views:
            _print(view)
        if settings.relay.default != "mx" or settings.relay.rules:
            click.echo("\nWhat goes by a route is spoken to as that says (`mailgw route`); this is for mail by MX.")
    if any(view.problem for view in views):
        sys.exit(1)


def _name(domain: str) -> str:
    try:
        return ascii_domain(parse_domain(domain)).lower()
    except AddressError as error:
        raise click.UsageError(f'"{printable(domain)}" is not a domain: {error}') from None


def _forget(path: Path, domain: str) -> bool:
    if not path.exists():
        return False
    try:
        with closing(connect(path, MIGRATIONS)) as connection:
            (found,) = transact(connection, [lambda connection: forget(connection, domain)])
            return bool(found)
    except (sqlite3.Error, StateUnusable, OSError) as error:
        raise click.ClickException(f"{path}: {error}") from None


async def _look(reactor: Any, settings: Settings, domains: Sequence[str], views: list[DomainView]) -> None:
    # What needs the reactor is imported here: other commands need not wait for it.
    from mailgw.delivery.tls.domain_policies import DomainPolicies
    from mailgw.delivery.tls.view import look_at

    look = make_look(reactor, settings)
    policies = DomainPolicies(settings.tls_policies)
    for domain in domains:
        ignored = not settings.relay.mta_sts or not policies.find(domain).mta_sts
        views += [await look_at(look.sessions, look.finder, domain, ignored=ignored)]
    await look.end()


def _print(view: DomainView) -> None:
    output = console()
    output.print(f"\n{view.domain}")
    if view.hosts:
        table = Table("MX host", "is spoken to by")
        for host in view.hosts:
            table.add_row(printable(host.host), printable(host.problem or _way(host)))
        output.print(table)
    for line in _lines(view):
        output.print(printable(line), soft_wrap=True)


def _way(host: HostView) -> str:
    return f"{host.way}, TLS {host.minimum_version} or later" if host.minimum_version not in ("", "1.2") else host.way


def _lines(view: DomainView) -> Iterator[str]:
    if view.problem:
        yield f"Mail does not go: {view.problem}"
    if policy := view.policy:
        named = f" for {', '.join(policy.exchanges)}" if policy.exchanges else ""
        ignored = "; ignored, as the configuration says" if view.ignored else ""
        yield (
            f"MTA-STS: {policy.mode}{named}; id {policy.id}, fetched {moment(policy.fetched)} UTC, "
            f"good until {moment(policy.expires)} UTC{ignored}"
        )
    elif not view.policy_problem:
        yield "MTA-STS: none"
    if view.policy_problem:
        yield f"MTA-STS: {'no newer policy' if view.policy else 'no policy'}: {view.policy_problem}"
    yield f"DNSSEC: {'vouches' if view.signed else 'does not vouch'} for the MX records"
