"""`mailgw reports`: what others report about our domains, and what we report about theirs."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import click
from rich.table import Table

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import console, moment, printable
from mailgw.config.schema import Settings
from mailgw.reports import issued, observed, received
from mailgw.reports.aggregate_xml import to_xml
from mailgw.reports.dmarc_source import Reporter
from mailgw.reports.tables import DAY, MIGRATIONS, database_path
from mailgw.state.database import StateUnusable, connect, transact

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


class _Day(click.ParamType[int]):
    """A day in UTC, as the number since the epoch."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return int(datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) // DAY
        except ValueError:
            self.fail(f"{value!r} is not a day such as {datetime.now(UTC):%Y-%m-%d}", param, ctx)


class _Since(click.ParamType[float]):
    """A day, or a time ago such as 7d; as seconds since the epoch."""

    name = "DAYSd|YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        if text.endswith("d") and text[:-1].isdigit() and len(text) < 6:
            return (datetime.now(UTC) - timedelta(days=int(text[:-1]))).timestamp()
        return float(_Day().convert(text, param, ctx) * DAY)


def _today() -> int:
    return int(time.time()) // DAY


@click.group(invoke_without_command=True)
@config_option
@click.option(
    "--since",
    type=_Since(),
    metavar="7d|YYYY-MM-DD",
    default="30d",
    show_default=True,
    help="Reports on this day and later.",
)
@click.option("--domain", default="", help="Of this domain only.")
@_json_option
@click.pass_context
def reports(context: click.Context, since: float, domain: str, as_json: bool) -> None:
    """Sum up what others report about our domains: DMARC, TLS, complaints.

    They come with `mailgw reports read`, or by themselves to the address of [dmarc_reports] inbox.
    """
    if context.invoked_subcommand is not None:
        return
    from mailgw.commands.report_tables import print_summary, to_json

    with _database() as connection:
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
    with _opened(lambda: connect(path, MIGRATIONS)) as connection:
        _give_to_owner(path)
        counts = read_paths(paths, lambda report: _store(connection, report))
        transact(connection, [partial(received.forget, before=time.time() - settings.dmarc_reports.keep)])
    click.echo(
        f"{counts.read} reports read, {counts.known} known already, {counts.nothing} files without a report,"
        f" {counts.refused} refused"
    )
    if counts.refused:
        raise SystemExit(1)


@reports.command()
@config_option
@click.option("--day", type=_Day(), default=_today, help="By default today, as far as it is seen.")
@_json_option
def pending(day: int, as_json: bool) -> None:
    """Show what would be sent for a day: the domains that were seen, and whether they ask for reports.

    Nothing is sent. Whether a destination outside of the domain agrees is asked when the report goes.
    """
    settings = read_settings()
    with _database() as connection:
        seen = observed.domains(connection, day)
        done = {item.subject: item.state for item in issued.list_issued(connection, day) if item.day == day}
    rows = [
        {
            "domain": published.domain,
            "messages": messages,
            "policy": published.policy,
            "rua": list(published.rua),
            "state": done.get(published.domain) or _state(settings, published.rua, published.domain),
        }
        for published, messages in seen
    ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    _print_table(("domain", "messages", "policy", "reports to", "state"), rows)
    click.echo(f"{len(rows)} domains on {moment(day * DAY)[:10]}")


@reports.command()
@config_option
@click.argument("domain")
@click.option("--day", type=_Day(), default=_today, help="By default today, as far as it is seen.")
def preview(domain: str, day: int) -> None:
    """Print the report on DOMAIN as it would be sent."""
    settings = read_settings()
    most = settings.dmarc_reports.max_records
    with _database() as connection:
        seen = observed.observed(connection, day, domain.lower(), most)
    if seen is None:
        raise click.ClickException(f"nothing was seen of {domain} on {moment(day * DAY)[:10]}")
    report = Reporter.of(settings.dmarc_reports, settings.hostname).report(day, seen)
    click.echo(to_xml(report).decode(), nl=False)


@reports.command()
@config_option
@click.option(
    "--since", type=_Since(), metavar="7d|YYYY-MM-DD", default="7d", show_default=True, help="On this day and later."
)
@_json_option
def sent(since: float, as_json: bool) -> None:
    """List the reports that were sent, and why others were not."""
    with _database() as connection:
        items = issued.list_issued(connection, int(since) // DAY)
    rows = [{**attrs.asdict(item), "day": moment(item.day * DAY)[:10], "at": moment(item.at)} for item in items]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    _print_table(("day", "source", "subject", "state", "at (UTC)", "detail"), rows)
    click.echo(f"{sum(item.state == 'sent' for item in items)} reports sent")


def _state(settings: Settings, rua: tuple[str, ...], domain: str) -> str:
    if not rua:
        return "asks for none"
    if domain in settings.dmarc_reports.skip:
        return "skipped"
    return "waits" if settings.dmarc_reports.sender else "no [dmarc_reports] sender"


def _print_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = Table(*columns)
    for row in rows:
        values = (", ".join(value) if isinstance(value, list) else str(value) for value in row.values())
        table.add_row(*map(printable, values))
    console().print(table)


def _store(connection: sqlite3.Connection, report: Any) -> bool:
    (stored,) = transact(connection, [partial(received.store, report=report, now=time.time())])
    return bool(stored)


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    """The state for a look. One that is not there yet is empty."""
    path = database_path(read_settings().state_directory)
    where = path if path.exists() else Path(":memory:")
    with _opened(lambda: connect(path, MIGRATIONS, read_only=True) if where is path else _empty()) as connection:
        yield connection


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for script in MIGRATIONS:
        connection.executescript(script)
    return connection


@contextmanager
def _opened(open_it: Callable[[], sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
    try:
        connection = open_it()
    except StateUnusable as error:
        raise click.ClickException(str(error)) from None
    except (sqlite3.Error, OSError) as error:
        where = database_path(read_settings().state_directory)
        raise click.ClickException(f"cannot open {where} (state_directory): {error}") from None
    try:
        yield connection
    except sqlite3.Error as error:
        raise click.ClickException(f"the state of reports: {error}") from None
    finally:
        connection.close()


def _give_to_owner(path: Path) -> None:
    """What root makes here belongs to whom the folder belongs to: the gateway runs as that user."""
    import os

    if os.geteuid() == 0:
        owner = path.parent.stat()
        for file in path.parent.glob(f"{path.name}*"):
            os.chown(file, owner.st_uid, owner.st_gid)
