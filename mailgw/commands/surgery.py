"""`mailgw queue flush|hold|release|delete|reroute`: changes to what waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

import click

from mailgw.commands.configuration import read_settings
from mailgw.commands.output import printable, progress
from mailgw.commands.queues import open_queues
from mailgw.commands.rerouting import reroute_by_rules
from mailgw.commands.selecting import make_selection, selecting
from mailgw.config.text import nearest
from mailgw.queue import surgery
from mailgw.queue.selection import Selection
from mailgw.queue.surgery import Surgery

F = TypeVar("F", bound=Callable[..., Any])
_SHOWN = 20
# Ten years: what a person holds is not thrown away after [quarantine] lifetime, as what a verdict holds is.
_FOR_GOOD = 10 * 365 * 86400.0


def selectors(command: F) -> F:
    """Give a command that changes something what selects deliveries: there has to be something."""
    everything = click.option("--all", "everything", is_flag=True, help="All that waits, where nothing else selects.")
    return selecting(everything(command))


dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be changed.")


@click.command()
@selectors
@dry_run_option
def flush(dry_run: bool, everything: bool, **selection: Any) -> None:
    """Try deliveries now. Their age stays, and sites that are left alone for now are tried."""
    _operate("tried now", selection, surgery.flush(time.time()), dry_run=dry_run, everything=everything)


@click.command()
@selectors
@dry_run_option
def hold(dry_run: bool, everything: bool, **selection: Any) -> None:
    """Keep deliveries in quarantine until somebody releases them, however long that takes."""
    _operate("held", selection, surgery.hold(time.time() + _FOR_GOOD), dry_run=dry_run, everything=everything)


@click.command()
@selectors
@dry_run_option
def release(dry_run: bool, everything: bool, **selection: Any) -> None:
    """Let held deliveries go on, to where they were going."""
    lifetime = read_settings().queue.lifetime
    _operate(
        "released", selection, surgery.release(time.time(), lifetime), dry_run=dry_run, everything=everything, held=True
    )


@click.command()
@selectors
@dry_run_option
@click.option("--report", is_flag=True, help="Tell the senders, as of every failure; the gateway does it when it runs.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(dry_run: bool, report: bool, yes: bool, everything: bool, **selection: Any) -> None:
    """Throw deliveries away. Nobody is told without --report."""
    done = "deleted, with a report to the sender" if report else "deleted"
    change = surgery.withdraw(time.time()) if report else surgery.remove
    _operate(done, selection, change, dry_run=dry_run, everything=everything, ask=not yes)


@click.command()
@selectors
@dry_run_option
@click.option("--to", "target", required=True, metavar="TARGET", help="route:NAME, mx:DOMAIN, or rules.")
def reroute(dry_run: bool, target: str, everything: bool, **selection: Any) -> None:
    """Send deliveries to another next hop, now; with --to rules, to where [relay], its rules and [domains] would send
    them if they came now."""
    if not selection["destination"]:
        selection["agents"] = surgery.HOPS  # mail for our own folders does not go to a next hop
    if target == "rules":
        reroute_by_rules(_selection(selection, everything), time.time(), dry_run=dry_run)
        return
    kind, _, name = target.partition(":")
    routes = read_settings().routes
    if kind not in ("mx", "route") or not name:
        raise click.UsageError(f"--to {target}: write route:NAME, mx:DOMAIN or rules")
    if kind == "route" and name not in routes:
        known = f"{nearest(name, routes)}; there are: {', '.join(routes) or 'none'}"
        raise click.UsageError(f"--to {target}: there is no [routes.{name}]{known}")
    _operate(
        f"sent to {target}", selection, surgery.reroute(target, time.time()), dry_run=dry_run, everything=everything
    )


def _operate(
    done: str,
    chosen: dict[str, Any],
    change: surgery.Change,
    *,
    dry_run: bool,
    held: bool = False,
    everything: bool,
    ask: bool = False,
) -> None:
    selection = _selection(chosen, everything, held=held)
    with open_queues(Surgery) as queues:
        sizes = [queue.select(selection) for queue in queues]
        count = sum(size.deliveries for size in sizes)
        messages = sum(size.messages for size in sizes)
        if dry_run or ask:
            _show(queues, messages)
        if dry_run:
            click.echo(f"{count} deliveries of {messages} messages would be {done}")
            return
        if ask and count:
            click.confirm(f"{count} deliveries of {messages} messages will be {done}. Go on?", abort=True)
        changed = 0
        with progress("changing the queue", count) as advance:
            for queue in queues:
                changed += queue.change(queue.deliveries(), change, lambda page: advance(len(page)))
    click.echo(f"{changed} deliveries of {messages} messages are {done}")
    if changed < count:
        click.echo(f"{count - changed} were delivered, changed, or at their end meanwhile")


def _selection(chosen: dict[str, Any], everything: bool, *, held: bool = False) -> Selection:
    selection = make_selection(held=held, **chosen)
    if selection.is_all and not everything:
        raise click.UsageError(
            "say which: IDs, --sender, --recipient, --destination, --site, --reason, --since, --until or --all"
        )
    return selection


def _show(queues: Sequence[Surgery], messages: int) -> None:
    for entry in islice(merge(*(queue.entries() for queue in queues), key=lambda entry: entry.message.id), _SHOWN):
        sender = entry.message.envelope.reverse_path or "<>"
        for delivery in entry.deliveries[:_SHOWN]:
            text = f"{entry.message.id} from {sender} to {delivery.recipient.forward_path} by {delivery.destination}"
            click.echo(printable(f"{text}: {delivery.last}" if delivery.last else text))
    if messages > _SHOWN:
        click.echo(f"and {messages - _SHOWN} messages more")
