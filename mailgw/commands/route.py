"""`mailgw route`: which way mail goes, and what says so, without sending any."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from attrs import asdict, evolve, frozen
from rich.table import Table

from mailgw.commands.configuration import ConfigurationRefused, config_option, config_path, read_settings
from mailgw.commands.output import console, printable
from mailgw.commands.route_hosts import Hosts, find_hosts
from mailgw.commands.running import run_in_reactor
from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.config.text import quote_key
from mailgw.mail.address import AddressError, Mailbox
from mailgw.routing.interface import Origin, Routed, Router, Target, Unknown
from mailgw.routing.load import load_router
from mailgw.routing.returns import ReturningRouter
from mailgw.routing.srs import Srs, read_secrets, secrets_file, srs_domain


@frozen
class Line:
    """One copy of the mail. `by` is what in etc/ says that it goes there.

    `hosts` are those of its route, or with --dns all that would be tried, with their addresses; `tls` is how each would
    be spoken to; `problem` is why there are none.
    """

    recipient: str
    address: str
    destination: str
    hosts: Sequence[str] | Mapping[str, Sequence[str] | str]
    by: str
    refused: str = ""
    problem: str = ""
    tls: Mapping[str, str] = {}


@click.command()
@config_option
@click.argument("recipients", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--from", "sender", help="The reverse-path; by default that of --user, else the null one, <>.")
@click.option("--user", default="", help="The user who submits it; by default nobody does.")
@click.option(
    "--dns",
    is_flag=True,
    help="Ask DNS for hosts and addresses, in the order in which they would be tried, and for TLS.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def route(recipients: tuple[str, ...], sender: str | None, user: str, dns: bool, as_json: bool) -> None:
    """Say which way mail for addresses goes, and by which alias, domain or rule of [relay]. Nothing is sent.

    It reads the configuration as it stands now; ends with 1 when one of the addresses is refused.
    """
    settings = read_settings()
    origin = _origin(sender, user)
    try:
        router = _router(settings)
    except ConfigurationErrors as errors:
        raise ConfigurationRefused(errors.errors) from None
    lines = [line for text in recipients for line in _ways(settings, router, _mailbox(text, "ADDRESS"), origin)]
    if dns:
        lines = _with_hosts(settings, lines)
    if as_json:
        for line in lines:
            click.echo(json.dumps(asdict(line)))
    else:
        _print(lines, origin)
    if any(line.refused for line in lines):
        click.get_current_context().exit(1)


def _router(settings: Settings) -> Router:
    """As reception has it, which takes the return paths of forwarded mail, as far as we may read its secrets."""
    router = load_router(settings, str(config_path()))
    try:
        keys = read_secrets(secrets_file(settings))
    except ConfigurationErrors:
        return router  # it has not run yet, or they are its user's alone
    return ReturningRouter(router, Srs(srs_domain(settings), time.time, keys))


def _with_hosts(settings: Settings, lines: Sequence[Line]) -> list[Line]:
    targets = [line.destination.partition(":")[2] for line in lines]
    found: dict[str, Hosts] = {}

    async def find(reactor: Any) -> None:
        found.update(await find_hosts(reactor, settings, [t for t in targets if t.startswith(("mx:", "route:"))]))

    run_in_reactor(find)
    return [
        evolve(line, hosts=found[target].hosts, tls=found[target].tls, problem=found[target].problem)
        if target in found
        else line
        for line, target in zip(lines, targets, strict=True)
    ]


def _origin(sender: str | None, user: str) -> Origin:
    if user:
        _mailbox(user, "--user")
    if sender is None:
        sender = user
    return Origin(None if sender in ("", "<>") else _mailbox(sender, "--from"), user)


def _mailbox(text: str, name: str) -> Mailbox:
    try:
        return Mailbox.parse(text)
    except AddressError as error:
        raise click.UsageError(f'{name}: "{text}" is not an address: {error}') from None


def _ways(settings: Settings, router: Router, mailbox: Mailbox, origin: Origin) -> Iterator[Line]:
    routed = router.resolve(mailbox, origin)
    if isinstance(routed, Unknown):
        yield Line(str(mailbox), "", "", (), "", routed.reason)
        return
    for target in routed.targets:
        name = target.destination.target.removeprefix("route:")
        route = settings.routes.get(name) if target.destination.target != name else None
        hosts = route.hosts if route is not None else ()
        yield Line(str(mailbox), str(target.mailbox), str(target.destination), hosts, _reason(mailbox, routed, target))


def _reason(mailbox: Mailbox, routed: Routed, target: Target) -> str:
    domain = f"[domains.{quote_key(mailbox.domain)}]"
    steps = {
        "mailbox": "a mailbox here",
        "alias": f"an alias for {mailbox}",
        "catch_all": f"{domain} catch_all",
        "postmaster": f"postmaster of {mailbox.domain}",
        "domain": f"{domain} deliver",
    }
    found = [steps[routed.by]] if routed.by in steps else []
    if routed.reports_only:
        found = ["a return path of ours, for reports only"]
    if target.outside:
        found.append(f"[relay.rules.{quote_key(target.rule)}]" if target.rule else "[relay] default")
    if routed.undecided:
        found.append("if " + _UNDECIDED[routed.undecided])
    return ", ".join(found)


_UNDECIDED = {
    "call_ahead": "its next hop says that it knows the address (call_ahead)",
    "list": "its recipients_command lists the address",
}


def _print(lines: list[Line], origin: Origin) -> None:
    by = f", user {origin.user}" if origin.user else ""
    click.echo(f"from {origin.sender or '<>'}{by}")
    table = Table("to", "goes to", "hosts", "by")
    for line in lines:
        if line.refused:
            table.add_row(printable(line.recipient), "refused", "", printable(line.refused))
            continue
        to = line.recipient if line.recipient == line.address else f"{line.recipient} -> {line.address}"
        table.add_row(
            printable(to), printable(line.destination), "\n".join(map(printable, _hosts(line))), printable(line.by)
        )
    console().print(table)


def _hosts(line: Line) -> list[str]:
    if line.problem:
        return [line.problem]
    if not isinstance(line.hosts, Mapping):
        return list(line.hosts)
    shown = []
    for host, found in line.hosts.items():
        shown.append(f"{host} {found if isinstance(found, str) else ', '.join(found)}")
        if host in line.tls:
            shown.append(f"  {line.tls[host]}")
    return shown
