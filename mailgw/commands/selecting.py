"""How a command is told which deliveries of the queue are meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mailgw.commands.configuration import config_option
from mailgw.commands.sites import destinations_of
from mailgw.commands.times import Moment
from mailgw.queue.selection import Selection

F = TypeVar("F", bound=Callable[..., Any])


def selecting(command: F) -> F:
    """Give a command the options that `make_selection` takes."""
    for option in (
        click.option("--until", type=Moment(), help="Only what came before then."),
        click.option("--since", type=Moment(), help="Only what came from then on: 7d, 12h, 2026-11-28."),
        click.option("--reason", default="", help="Only with this in the last answer; * stands for anything."),
        click.option("--destination", default="", help="Only what goes there, as in the log: relay:mx:example.org, *."),
        click.option(
            "--site",
            default="",
            help="Only to this site: route:NAME; a domain, with all that share its MX hosts; or an MX host. Asks DNS.",
        ),
        click.option("--recipient", default="", help="Only to this address; *@example.org for a domain."),
        click.option("--sender", default="", help="Only from this address or user; <> for reports."),
        click.argument("ids", metavar="[ID]...", nargs=-1),
        config_option,
    ):
        command = option(command)
    return command


def make_selection(
    ids: Sequence[str],
    sender: str,
    recipient: str,
    destination: str,
    site: str,
    reason: str,
    since: float | None,
    until: float | None,
    held: bool | None = None,
    agents: frozenset[str] = frozenset(),
) -> Selection:
    """Translate the options; `site` asks DNS."""
    return Selection(
        ids=frozenset(name.upper() for name in ids),
        sender=sender,
        recipient=recipient,
        destination=destination,
        destinations=destinations_of(site) if site else None,
        reason=f"*{reason}*" if reason else "",
        since=since,
        until=until,
        held=held,
        agents=agents,
    )
