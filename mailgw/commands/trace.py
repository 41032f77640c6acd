"""`mailgw trace`: finds messages, and shows their way from the session to the last hop."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import click
from rich.table import Table

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import console, moment, printable
from mailgw.commands.times import Moment
from mailgw.history.kept import Facts, KeptVerdict
from mailgw.history.search import Fate, HistorySearch, Row, Wanted
from mailgw.state.database import StateUnusable

_ACTIONS = ("inbox", "spam", "hold", "greylist", "reject", "defer", "discard")


@click.command()
@config_option
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--id", "also_id", help="The id in our reply, in Received and in the log.")
@click.option("--from", "sender", default="", help="In the reverse-path or From: a part, or a pattern with *.")
@click.option("--to", "recipient", default="", help="In a recipient's address.")
@click.option("--subject", default="", help="In Subject.")
@click.option("--message-id", "field", default="", help="In Message-ID.")
@click.option("--client", default="", help="In the client's IP address.")
@click.option("--action", type=click.Choice(_ACTIONS), help="What the verdict was.")
@click.option("--since", type=Moment(), help="From then on: 7d, 12h, 2026-11-28, 2026-11-28T10:30.")
@click.option("--until", type=Moment(), help="Before then.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Messages to list.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a message and line, with its whole way.")
def trace(
    message_id: str | None,
    also_id: str | None,
    sender: str,
    recipient: str,
    subject: str,
    field: str,
    client: str,
    action: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find messages by what is known of them, the newest first; of one, show its whole way.

    Texts are found anywhere in their field, in any case. It needs no running gateway.
    """
    wanted = Wanted(sender, recipient, subject, field, client, action or "", since, until)
    name = (message_id or also_id or "").upper()
    with open_history() as history:
        if name:
            row = history.message(name)
            if row is None:
                raise click.ClickException(f"{name} is not in the history: it is older, or was never here")
            rows = [row]
        else:
            rows = history.find(wanted, limit)
        if as_json:
            for row in rows:
                click.echo(json.dumps(_data(history, row)))
            return
        if not rows:
            raise click.ClickException("no such message in the history")
        if len(rows) == 1:
            _print_way(history, rows[0])
            return
        _print_list(history, rows)
    if len(rows) == limit:
        click.echo(f"the newest {limit}; more with --limit")


@contextmanager
def open_history() -> Iterator[HistorySearch]:
    """Open the history of the configuration; what is wrong with it ends the command."""
    try:
        with HistorySearch(read_settings().state_directory) as history:
            yield history
    except StateUnusable as error:
        raise click.ClickException(str(error)) from None
    except sqlite3.Error as error:
        raise click.ClickException(f"the history cannot be read: {error}") from None


def _print_list(history: HistorySearch, rows: list[Row]) -> None:
    table = Table("message", "time (UTC)", "from", "to", "subject", "score", "verdict", "now")
    for row in rows:
        score = "" if row.score is None else f"{row.score:.2f}"
        table.add_row(
            row.id,
            moment(row.time),
            printable(row.sender or "<>"),
            printable(row.recipients),
            printable(row.subject),
            score,
            row.action,
            _now(history.fates(row.id)),
        )
    console().print(table)


def _now(fates: list[Fate]) -> str:
    """Say in a word how each recipient's copy stands."""
    last = {(fate.message, fate.recipient, fate.destination): fate.event for fate in fates}
    counts: dict[str, int] = {}
    for event in last.values():
        counts[event] = counts.get(event, 0) + 1
    return ", ".join(event if count == 1 else f"{count} {event}" for event, count in counts.items())


def _print_way(history: HistorySearch, row: Row) -> None:
    facts = history.facts(row.id)
    grid = Table.grid(padding=(0, 2))
    for name, text in (
        ("message", row.id),
        ("report about", row.parent),
        ("from", row.sender or "<>"),
        ("From", row.author),
        ("Subject", row.subject),
        ("Message-ID", row.message_id),
        ("octets", str(row.size)),
    ):
        if text:
            grid.add_row(name, printable(text))
    way = Table("time (UTC)", "event", "recipient", "what happened")
    if facts is not None:
        client = facts.client
        how = f"{client.service} from {client.address} as {client.helo or 'nobody'}"
        how += f", {client.tls}" if client.tls else ", without TLS"
        how += f", user {client.identity}" if client.identity else ""
        way.add_row(moment(row.time), f"session {client.session_id}", "", printable(how))
        if row.reply and not facts.verdicts:
            way.add_row(moment(row.time), "refused", "", printable(row.reply))
        for kept in facts.verdicts:
            names = ", ".join(facts.recipients[number] for number in kept.recipients)
            verdict = kept.verdict
            copy = f" (as {kept.id})" if kept.id and kept.id != row.id else ""
            reply = f" -> {verdict.reply}" if verdict.reply is not None else ""
            text = f"score {verdict.score:.2f}: {verdict.reason}{copy}{reply}"
            way.add_row(moment(row.time), verdict.action, printable(names), printable(text))
    for fate in history.fates(row.id):
        remote = f" [{fate.remote}]" if fate.remote else ""
        text = f"{fate.destination}: {fate.detail}{remote}"
        way.add_row(moment(fate.time), fate.event, printable(fate.recipient), printable(text))
    for report in history.reports(row.id):
        way.add_row(moment(report.time), "report", printable(report.recipients), f"as {report.id}")
    output = console()
    output.print(grid)
    output.print(way)


def _verdict(facts: Facts, kept: KeptVerdict) -> dict[str, Any]:
    verdict = kept.verdict
    return {
        "id": kept.id,
        "recipients": [facts.recipients[number] for number in kept.recipients],
        "action": verdict.action,
        "score": verdict.score,
        "reason": verdict.reason,
        "reply": None if verdict.reply is None else str(verdict.reply),
        "symbols": {line.symbol: line.points for line in verdict.lines},
    }


def _data(history: HistorySearch, row: Row) -> dict[str, Any]:
    facts = history.facts(row.id)
    verdicts = [] if facts is None else [_verdict(facts, kept) for kept in facts.verdicts]
    return attrs.asdict(row) | {
        "recipients": row.recipients.split(" "),
        "session": "" if facts is None else facts.client.session_id,
        "helo": "" if facts is None else facts.client.helo,
        "tls": "" if facts is None else facts.client.tls,
        "identity": "" if facts is None else facts.client.identity,
        "verdicts": verdicts,
        "fates": [attrs.asdict(fate) for fate in history.fates(row.id)],
        "reports": [report.id for report in history.reports(row.id)],
    }
