"""`mailgw reports`: what others report about our domains, and what we report about theirs."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import moment
from mailgw.commands.report_sending import pending, preview, sent
from mailgw.commands.report_state import Since, database, give_to_owner, json_option, opened
from mailgw.reports import received
from mailgw.reports.tables import MIGRATIONS, database_path
from mailgw.state.database import connect, transact


@click.group(invoke_without_command=True)
@config_option
@click.option(
    "--since",
    type=Since(),
    metavar="7d|YYYY-MM-DD",
    default="30d",
    show_default=True,
    help="Reports on this day and later.",
)
@click.option("--domain", default="", help="Of this domain only.")
@json_option
@click.pass_context
def reports(context: click.Context, since: float, domain: str, as_json: bool) -> None:
    """Sum up what others report about our domains: DMARC, TLS, complaints.

    They come with `mailgw reports read`, or by themselves to the address of [dmarc_reports] inbox.
    """
    if context.invoked_subcommand is not None:
        return
    from mailgw.commands.report_tables import print_summary, to_json

    with database() as connection:
        found = (
            received.sum_dmarc(connection, since, domain.lower()),
            received.sum_tls(connection, since, domain.lower()),
            received.sum_complaints(connection, since, domain.lower()),
        )
    if as_json:
        for line in to_json(read_settings(), *found):
            click.echo(line)
    elif any(found):
        print_summary(read_settings(), *found)
    else:
        click.echo(f"no reports on {moment(since)[:10]} and later; `mailgw reports read` takes them from files")


@reports.command()
@config_option
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def read(paths: tuple[Path, ...]) -> None:
    """Read reports from PATHS: messages, mboxes, Maildirs and other folders, .xml, .gz, .zip, .json.

    A report that is known already changes nothing. With an unreadable one among them the exit code is 1.
    """
    from mailgw.commands.report_files import read_paths

    settings = read_settings()
    path = database_path(settings.state_directory)
    with opened(lambda: connect(path, MIGRATIONS)) as connection:
        give_to_owner(path)
        counts = read_paths(paths, lambda report: _store(connection, report))
        transact(connection, [partial(received.forget, before=time.time() - settings.dmarc_reports.keep)])
    click.echo(
        f"{counts.read} reports read, {counts.known} known already, {counts.nothing} files without a report,"
        f" {counts.refused} refused"
    )
    if counts.refused:
        raise SystemExit(1)


for command in (pending, preview, sent):
    reports.add_command(command)


def _store(connection: sqlite3.Connection, report: Any) -> bool:
    (stored,) = transact(connection, [partial(received.store, report=report, now=time.time())])
    return bool(stored)
