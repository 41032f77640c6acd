"""`mailgw queue flush|hold|release|delete|reroute`: changes to what waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import printable
from mailgw.commands.queues import open_queues
from mailgw.commands.times import Moment
from mailgw.queue import surgery
from mailgw.queue.store import Entry
from mailgw.queue.surgery import Selection, Surgery

F = TypeVar("F", bound=Callable[..., Any])
_SHOWN = 20
# Ten years: what a person holds is not thrown away after [quarantine] lifetime, as what a verdict holds is.
_FOR_GOOD = 10 * 365 * 86400.0


def selectors(command: F) -> F:
    """Give a command what selects deliveries."""
    for option in (
        click.option("--all", "everything", is_flag=True, help="All that waits, where nothing else selects."),
        click.option("--until", type=Moment(), help="Only what came before then."),
        click.option("--since", type=Moment(), help="Only what came from then on: 7d, 12h, 2026-11-28."),
        click.option("--reason", default="", help="Only with this in the last answer; * stands for anything."),
        click.option("--destination", default="", help="Only what goes there, as in the log: relay:mx:example.org, *."),
        click.option("--recipient", default="", help="Only to this address; *@example.org for a domain."),
        click.option("--sender", default="", help="Only from this address or user; <> for reports."),
        click.argument("ids", metavar="[ID]...", nargs=-1),
        config_option,
    ):
        command = option(command)
    return command


dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be changed.")


@click.command()
@selectors
@dry_run_option
def flush(dry_run: bool, **selection: Any) -> None:
    """Try deliveries now. Their age stays, and sites that are left alone for now are tried."""
    _operate("tried now", selection, surgery.flush(time.time()), dry_run=dry_run)


@click.command()
@selectors
@dry_run_option
def hold(dry_run: bool, **selection: Any) -> None:
    """Keep deliveries in quarantine until somebody releases them, however long that takes."""
    _operate("held", selection, surgery.hold(time.time() + _FOR_GOOD), dry_run=dry_run)


@click.command()
@selectors
@dry_run_option
def release(dry_run: bool, **selection: Any) -> None:
    """Let held deliveries go on, to where they were going."""
    lifetime = read_settings().queue.lifetime
    _operate("released", selection, surgery.release(time.time(), lifetime), dry_run=dry_run, held=True)


@click.command()
@selectors
@dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(dry_run: bool, yes: bool, **selection: Any) -> None:
    """Throw deliveries away. Nobody is told, but of an attempt under way that fails for good."""
    _operate("deleted", selection, surgery.remove, dry_run=dry_run, ask=not yes)


@click.command()
@selectors
@dry_run_option
@click.option("--to", "target", required=True, metavar="TARGET", help="route:NAME, or mx:DOMAIN.")
def reroute(dry_run: bool, target: str, **selection: Any) -> None:
    """Send deliveries to another next hop, now."""
    kind, _, name = target.partition(":")
    routes = read_settings().routes
    if kind not in ("mx", "route") or not name:
        raise click.UsageError(f"--to {target}: write route:NAME or mx:DOMAIN")
    if kind == "route" and name not in routes:
        raise click.UsageError(f"--to {target}: there is no [routes.{name}]; there are: {', '.join(routes) or 'none'}")
    if not selection["destination"]:
        selection["destination"] = "relay:*"  # mail for our own folders does not go to a next hop
    _operate(f"sent to {target}", selection, surgery.reroute(target, time.time()), dry_run=dry_run)


def _operate(
    done: str,
    chosen: dict[str, Any],
    change: surgery.Change,
    *,
    dry_run: bool,
    held: bool = False,
    ask: bool = False,
) -> None:
    selection = _selection(**chosen)
    with open_queues(Surgery) as queues:
        found = [(queue, list(queue.select(selection, held=held))) for queue in queues]
        entries = [entry for _, entries in found for entry in entries]
        count = sum(len(entry.deliveries) for entry in entries)
        if dry_run or ask:
            _show(entries)
        if dry_run:
            click.echo(f"{count} deliveries of {len(entries)} messages would be {done}")
            return
        if ask and count:
            click.confirm(f"{count} deliveries of {len(entries)} messages will be {done}. Go on?", abort=True)
        changed = sum(len(queue.change(entries, change)) for queue, entries in found)
    click.echo(f"{changed} deliveries of {len(entries)} messages are {done}")
    if changed < count:
        click.echo(f"{count - changed} were delivered, changed, or at their end meanwhile")


def _selection(
    ids: Sequence[str],
    sender: str,
    recipient: str,
    destination: str,
    reason: str,
    since: float | None,
    until: float | None,
    everything: bool,
) -> Selection:
    reason = f"*{reason}*" if reason else ""
    names = frozenset(name.upper() for name in ids)
    selection = Selection(names, sender, recipient, destination, reason, since, until)
    if selection.is_all and not everything:
        raise click.UsageError(
            "say which: IDs, --sender, --recipient, --destination, --reason, --since, --until or --all"
        )
    return selection


def _show(entries: Sequence[Entry]) -> None:
    for entry in entries[:_SHOWN]:
        sender = entry.message.envelope.reverse_path or "<>"
        for delivery in entry.deliveries[:_SHOWN]:
            text = f"{entry.message.id} from {sender} to {delivery.recipient.forward_path} by {delivery.destination}"
            click.echo(printable(f"{text}: {delivery.last}" if delivery.last else text))
    if len(entries) > _SHOWN:
        click.echo(f"and {len(entries) - _SHOWN} messages more")
