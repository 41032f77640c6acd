"""`mailgw queue list --summary`: what waits, a line for each destination."""

from __future__ import annotations

import json
import time

import click
from attrs import asdict
from rich.table import Table

from mailgw.commands.output import console, moment, printable
from mailgw.commands.queues import open_queues
from mailgw.queue.listing import Listing
from mailgw.queue.selection import Selection
from mailgw.queue.summary import combine


def summarise(selection: Selection, limit: int, *, as_json: bool) -> None:
    """Print the destinations with the most deliveries."""
    now = time.time()
    with open_queues(Listing) as listings:
        destinations = combine(one for listing in listings for one in listing.summary(selection, now))
    if as_json:
        for one in destinations[:limit]:
            click.echo(json.dumps(asdict(one)))
        return
    table = Table(
        "destination", "deliveries", "> 1 h", "> 4 h", "> 1 d", "oldest (UTC)", "next try (UTC)", "last answer"
    )
    for one in destinations[:limit]:
        table.add_row(
            printable(one.destination),
            str(one.deliveries),
            *map(str, one.older),
            moment(one.oldest),
            moment(one.next_due),
            printable(one.last),
        )
    if destinations:
        console().print(table)
    deliveries = sum(one.deliveries for one in destinations)
    shown = "" if len(destinations) <= limit else f", {limit} of them shown"
    click.echo(f"{deliveries} deliveries for {len(destinations)} destinations{shown}")
