"""`mailgw reports pending|preview|sent`: what we report about the domains of others."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import attrs
import click
from rich.table import Table

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import console, moment, printable
from mailgw.commands.report_state import Day, Since, database, json_option, today
from mailgw.config.schema import Settings
from mailgw.reports import issued, observed, tls_observed
from mailgw.reports.aggregate_xml import to_xml
from mailgw.reports.dmarc_source import Reporter
from mailgw.reports.tables import DAY
from mailgw.reports.tls_json import to_json
from mailgw.reports.tls_source import TlsReporter


@click.command()
@config_option
@click.option("--day", type=Day(), default=today, help="By default today, as far as it is seen.")
@json_option
def pending(day: int, as_json: bool) -> None:
    """Show what would be sent for a day: the domains that were seen, and what of them.

    Nothing is sent. Whether a domain asks for reports on TLS, and whether a destination outside of it agrees to reports
    on DMARC, is asked when they go.
    """
    settings = read_settings()
    with database() as connection:
        done = {(i.source, i.subject): i for i in issued.list_issued(connection, day) if i.day == day}
        dmarc = _dmarc_rows(connection, day, settings, done)
        tls = _tls_rows(connection, day, settings, done)
    if as_json:
        for kind, rows in (("dmarc", dmarc), ("tls", tls)):
            for row in rows:
                click.echo(json.dumps({"kind": kind, **row}))
        return
    _print_table("DMARC", ("domain", "messages", "policy", "reports to", "state"), dmarc)
    _print_table("TLS", ("domain", "policies", "sessions", "failures", "state"), tls)
    click.echo(f"{len({row['domain'] for row in dmarc + tls})} domains on {moment(day * DAY)[:10]}")


Done = dict[tuple[str, str], issued.Issued]


def _dmarc_rows(connection: sqlite3.Connection, day: int, settings: Settings, done: Done) -> list[dict[str, Any]]:
    reports = settings.dmarc_reports
    return [
        {
            "domain": published.domain,
            "messages": messages,
            "policy": published.policy,
            "rua": list(published.rua),
            "state": _state("dmarc", published.domain, reports.sender, reports.skip, done)
            if published.rua
            else "asks for none",
        }
        for published, messages in observed.domains(connection, day)
    ]


def _tls_rows(connection: sqlite3.Connection, day: int, settings: Settings, done: Done) -> list[dict[str, Any]]:
    reports = settings.tls_reports
    return [
        {
            "domain": seen.domain,
            "policies": list(seen.policies),
            "sessions": seen.successes,
            "failures": seen.failures,
            "state": _state("tls", seen.domain, reports.sender, reports.skip, done),
        }
        for seen in tls_observed.domains(connection, day)
    ]


def _state(source: str, domain: str, sender: str, skip: tuple[str, ...], done: Done) -> str:
    item = done.get((source, domain))
    if item is not None:
        return "asks for none" if item.is_silent else item.state
    if domain in skip:
        return "skipped"
    return "waits" if sender else f"no [{source}_reports] sender"


@click.command()
@config_option
@click.argument("domain")
@click.option("--day", type=Day(), default=today, help="By default today, as far as it is seen.")
@click.option("--tls", is_flag=True, help="The report on TLS, not that on DMARC.")
def preview(domain: str, day: int, tls: bool) -> None:
    """Print the report on DOMAIN as it would be sent."""
    settings, name = read_settings(), domain.lower()
    text = b""
    with database() as connection:
        if tls:
            policies = tls_observed.observed(connection, day, name)
            if policies:
                tls_reporter = TlsReporter.of(settings.tls_reports, settings.hostname)
                text = to_json(tls_reporter.report(day, name, policies))
        else:
            seen = observed.observed(connection, day, name, settings.dmarc_reports.max_records)
            if seen is not None:
                text = to_xml(Reporter.of(settings.dmarc_reports, settings.hostname).report(day, seen))
    if not text:
        raise click.ClickException(f"nothing was seen of {domain} on {moment(day * DAY)[:10]}")
    click.echo(text.decode(), nl=False)


@click.command()
@config_option
@click.option(
    "--since", type=Since(), metavar="7d|YYYY-MM-DD", default="7d", show_default=True, help="On this day and later."
)
@json_option
def sent(since: float, as_json: bool) -> None:
    """List the reports that were sent, and why others were not."""
    with database() as connection:
        items = [item for item in issued.list_issued(connection, int(since) // DAY) if not item.is_silent]
    rows = [{**attrs.asdict(item), "day": moment(item.day * DAY)[:10], "at": moment(item.at)} for item in items]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    _print_table("", ("day", "source", "subject", "state", "at (UTC)", "detail"), rows)
    click.echo(f"{sum(item.state == 'sent' for item in items)} reports sent")


def _print_table(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = Table(*columns, title=title or None)
    for row in rows:
        values = (", ".join(value) if isinstance(value, list) else str(value) for value in row.values())
        table.add_row(*map(printable, values))
    console().print(table)
