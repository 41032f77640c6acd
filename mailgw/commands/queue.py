"""`mailgw queue`: what was accepted and is not yet delivered."""

from __future__ import annotations

import json
from heapq import merge
from itertools import islice
from typing import Any

import click
from rich.table import Table

from mailgw.commands.configuration import config_option
from mailgw.commands.output import console, moment, printable
from mailgw.commands.queue_summary import summarise
from mailgw.commands.queues import open_queues
from mailgw.commands.salvage import salvage
from mailgw.commands.selecting import make_selection, selecting
from mailgw.commands.surgery import delete, flush, hold, release, reroute
from mailgw.queue.item import Delivery, QueuedMessage
from mailgw.queue.listing import Listing
from mailgw.queue.store import Entry


@click.group()
def queue() -> None:
    """Look into the queue and change what waits, while the gateway runs or not."""


for command in (delete, flush, hold, release, reroute, salvage):
    queue.add_command(command)


@queue.command("list")
@selecting
@click.option("--summary", is_flag=True, help="One line a destination: how much waits there, since when, and why.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Lines to print.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_queue(limit: int, summary: bool, as_json: bool, **chosen: Any) -> None:
    """List the messages that wait, the oldest first; held ones are among them."""
    selection = make_selection(**chosen)
    if summary:
        summarise(selection, limit, as_json=as_json)
        return
    with open_queues(Listing) as listings:
        entries = merge(
            *(listing.entries(limit, selection) for listing in listings), key=lambda entry: entry.message.id
        )
        first = islice(entries, limit)
        if as_json:
            for entry in first:
                click.echo(json.dumps(_summary(entry)))
            return
        rows = [_row(entry) for entry in first]
        sizes = [listing.size(selection) for listing in listings]
    if rows:
        table = Table("message", "received (UTC)", "octets", "from", "to", "next try (UTC)", "last answer")
        for row in rows:
            table.add_row(*row)
        console().print(table)
    messages = sum(size.messages for size in sizes)
    what = "in the queue" if selection.is_all else "selected"
    shown = "" if len(rows) == messages else f", {len(rows)} of them shown"
    click.echo(f"{messages} messages with {sum(size.deliveries for size in sizes)} deliveries {what}{shown}")


@queue.command()
@config_option
@click.argument("message_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(message_id: str, as_json: bool) -> None:
    """Show a message of the queue: its envelope, its verdict, and what became of each recipient."""
    with open_queues(Listing) as listings:
        found = (listing.entry(message_id.upper()) for listing in listings)
        entry = next((entry for entry in found if entry is not None), None)
    if entry is None:
        raise click.ClickException(f"{message_id} is not in the queue: it is delivered, given up, or was never here")
    if as_json:
        click.echo(json.dumps(_details(entry), indent=2))
    else:
        _print_entry(entry)


def _row(entry: Entry) -> tuple[str, ...]:
    message, deliveries = entry.message, entry.deliveries
    first = min(deliveries, key=lambda delivery: delivery.due, default=None)
    recipients = [str(delivery.recipient.forward_path) for delivery in deliveries]
    more = f" and {len(recipients) - 1} more" if len(recipients) > 1 else ""
    return (
        message.id,
        moment(message.received),
        str(message.message.size),
        printable(_reverse_path(message)),
        printable("".join(recipients[:1]) + more),
        moment(first.due) if first else "",
        printable(first.last) if first else "",
    )


def _print_entry(entry: Entry) -> None:
    message = entry.message
    verdict = message.verdict
    facts = Table.grid(padding=(0, 2))
    facts.add_row("message", message.id)
    facts.add_row("session", message.session_id)
    facts.add_row("received (UTC)", moment(message.received))
    facts.add_row("octets", str(message.message.size))
    facts.add_row("from", printable(_reverse_path(message)))
    if message.identity:
        facts.add_row("submitted by", printable(message.identity))
    facts.add_row("came by", message.origin)
    if verdict is not None:
        facts.add_row("verdict", printable(f"{verdict.action}, score {verdict.score:g}: {verdict.reason}"))
        for line in verdict.lines:
            facts.add_row("", printable(f"{line.points:+.2f} {line.symbol} {line.detail}"))
    table = Table("to", "destination", "tries", "next try (UTC)", "until (UTC)", "last answer")
    for delivery in entry.deliveries:
        table.add_row(
            printable(str(delivery.recipient.forward_path)),
            printable(str(delivery.destination)),
            str(delivery.attempts),
            moment(delivery.due),
            moment(delivery.expires),
            printable(delivery.last),
        )
    output = console()
    output.print(facts)
    output.print(table)


def _summary(entry: Entry) -> dict[str, Any]:
    message = entry.message
    return {
        "id": message.id,
        "session": message.session_id,
        "received": message.received,
        "size": message.message.size,
        "origin": message.origin,
        "identity": message.identity,
        "reverse_path": str(message.envelope.reverse_path) if message.envelope.reverse_path else "",
        "deliveries": [_delivery(delivery) for delivery in entry.deliveries],
    }


def _details(entry: Entry) -> dict[str, Any]:
    verdict = entry.message.verdict
    details = _summary(entry)
    if verdict is not None:
        details["verdict"] = {
            "action": verdict.action,
            "score": verdict.score,
            "reason": verdict.reason,
            "lines": [
                {"symbol": line.symbol, "detail": line.detail, "source": line.source, "points": line.points}
                for line in verdict.lines
            ],
        }
    return details


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "number": delivery.number,
        "forward_path": str(delivery.recipient.forward_path),
        "destination": str(delivery.destination),
        "attempts": delivery.attempts,
        "due": delivery.due,
        "expires": delivery.expires,
        "last": delivery.last,
    }


def _reverse_path(message: QueuedMessage) -> str:
    return str(message.envelope.reverse_path) if message.envelope.reverse_path else "<>"
