"""`mailgw replay`: what another configuration would have made of the mail that was here."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from attrs import evolve
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mailgw.commands.configuration import ConfigurationRefused, config_option, read_settings
from mailgw.commands.output import console, moment, printable
from mailgw.commands.times import Moment
from mailgw.commands.trace import open_history
from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.history.replay import Flip, Replay
from mailgw.history.search import HistorySearch
from mailgw.verdict.policies import Policies


@click.command()
@config_option
@click.option("--filters", type=click.Path(dir_okay=False), help="Another filters.toml than that of the configuration.")
@click.option("--rules", type=click.Path(dir_okay=False), help="Another rules.toml.")
@click.option("--since", type=Moment(), default="7d", show_default=True, help="7d, 12h, 2026-11-28.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="Messages to list.")
@click.option("--fail-above", type=click.IntRange(min=0), help="End with 1 when more messages change than this.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def replay(
    filters: str | None, rules: str | None, since: float, limit: int, fail_above: int | None, as_json: bool
) -> None:
    """Judge the evidence in the history again, by the weights, thresholds, rules and combinations of this --config, and
    list the messages that would have gone another way. Nothing is changed.

    What filters see is not looked at again: a new pattern of rules.toml, or another setting of a filter, has found
    nothing in mail that is gone.
    """
    settings = read_settings()
    settings = evolve(settings, filters_file=filters or settings.filters_file, rules_file=rules or settings.rules_file)
    work = Replay(_policies(settings))
    with open_history() as history:
        _judge(history, work, since, quiet=as_json)
        flips = work.finish(lambda name: any(fate.event == "released" for fate in history.fates(name)))
    if as_json:
        click.echo(json.dumps(_data(work, flips, limit), indent=2))
    else:
        _print(work, flips, limit)
    if fail_above is not None and len(flips) > fail_above:
        raise click.ClickException(f"{len(flips)} messages change, more than {fail_above}")


def _policies(settings: Settings) -> Policies:
    # Filters bring all their libraries: other commands need not wait for them.
    from mailgw.composition.etc import SYMBOLS
    from mailgw.config.load import load_filter_file
    from mailgw.filters.catalogue import read

    try:
        file = load_filter_file(settings.filters_file)
        catalogue = read(file, settings.filters_file, settings.rules_file, others=SYMBOLS)
    except ConfigurationErrors as errors:
        raise ConfigurationRefused(errors.errors) from None
    return Policies.of(file, catalogue.weights, catalogue.combinations)


def _judge(history: HistorySearch, work: Replay, since: float, *, quiet: bool) -> None:
    output = Console(file=sys.stderr)
    with Progress(console=output, transient=True, disable=quiet or not output.is_terminal) as progress:
        task = progress.add_task("judging", total=history.count(since))
        for row, facts in history.since(since):
            if row.service != "report":
                work.judge(row, facts)
            progress.advance(task)


def _print(work: Replay, flips: Sequence[Flip], limit: int) -> None:
    output = console()
    if flips:
        kinds = Table("change", "messages", "at risk")
        for kind, count in work.kinds.most_common():
            kinds.add_row(kind, str(count), str(sum(flip.kind == kind and bool(flip.risks) for flip in flips)))
        output.print(kinds)
        table = Table("message", "time (UTC)", "from", "to", "subject", "change", "score", "risk")
        for flip in flips[:limit]:
            table.add_row(
                flip.row.id,
                moment(flip.row.time),
                printable(flip.row.sender or "<>"),
                printable(", ".join(flip.recipients)),
                printable(flip.row.subject),
                flip.kind,
                f"{flip.old_score:.2f} -> {flip.new_score:.2f}",
                printable("; ".join(flip.risks)),
            )
        if limit:
            output.print(table)
    shown = f", {limit} of them shown" if 0 < limit < len(flips) else ""
    left = f"; {work.left_out} had no verdict that can be judged again" if work.left_out else ""
    click.echo(f"{len(flips)} of {work.judged} messages would go another way{shown}{left}")


def _data(work: Replay, flips: Sequence[Flip], limit: int) -> dict[str, Any]:
    return {
        "judged": work.judged,
        "left_out": work.left_out,
        "changed": len(flips),
        "at_risk": sum(bool(flip.risks) for flip in flips),
        "kinds": dict(work.kinds),
        "messages": [
            {
                "id": flip.row.id,
                "time": flip.row.time,
                "sender": flip.row.sender,
                "recipients": flip.recipients,
                "subject": flip.row.subject,
                "old": flip.old,
                "new": flip.new,
                "old_score": flip.old_score,
                "new_score": flip.new_score,
                "reason": flip.reason,
                "risks": flip.risks,
            }
            for flip in flips[:limit]
        ],
    }
