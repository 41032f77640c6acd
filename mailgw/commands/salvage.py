"""`mailgw queue salvage`: what can still be read of a damaged queue, into the gateway's."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import click

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import printable, progress
from mailgw.operation.workers import queue_directory
from mailgw.queue.salvage import Found, Losses, Salvage, Target
from mailgw.queue.store import QueueUnusable

# Messages written at once: each may bring some 100 KB.
_PAGE = 100
_SHOWN = 20


@click.command()
@config_option
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only read all of it, and tell: a check of any queue.")
def salvage(directory: Path, dry_run: bool) -> None:
    """Take what can still be read of a damaged queue into the gateway's queue, while the gateway does not run.

    Move the folder of the damaged queue away first, then name it here. It is only read. What the gateway's queue holds
    already is not taken again.
    """
    try:
        with ExitStack() as stack:
            damaged = stack.enter_context(closing(Salvage(directory)))
            target = None
            if not dry_run:
                target = stack.enter_context(closing(Target(queue_directory(read_settings().state_directory, 0))))
            count, put = _take(damaged, target)
            if target is not None:
                target.own_as(directory)
            losses = damaged.losses
    except (QueueUnusable, OSError, sqlite3.Error) as error:
        raise click.ClickException(str(error)) from None
    done = (
        f"{count} messages can be read" if dry_run else f"{put} messages of {count} that can be read are in the queue"
    )
    click.echo(done)
    if losses:
        raise click.ClickException(_lost(losses))


def _take(damaged: Salvage, target: Target | None) -> tuple[int, int]:
    count = put = at = 0
    page: list[Found] = []
    with progress("reading the queue", damaged.last) as advance:
        for reached, found in damaged.messages():
            advance(reached - at)
            at = reached
            if found is not None:
                count += 1
                page.append(found)
            if len(page) >= _PAGE or (found is None and reached == damaged.last):
                put += target.put(page) if target is not None else 0
                page.clear()
    return count, put


def _lost(losses: Losses) -> str:
    named = "".join(f"\n  {printable(name)}" for name in losses.messages[:_SHOWN])
    more = f"\n  and {len(losses.messages) - _SHOWN} more" if len(losses.messages) > _SHOWN else ""
    lack = f"{len(losses.messages)} more lack their content, or where they go"
    return f"up to {losses.rows} messages cannot be read, and {lack}{named}{more}"
