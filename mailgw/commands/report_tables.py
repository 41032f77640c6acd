"""What `mailgw reports` shows: tables for people, lines of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import attrs
from rich.table import Table

from mailgw.commands.output import console, printable
from mailgw.config.endpoints import parse_address
from mailgw.config.schema import Settings
from mailgw.reception.networks import Networks
from mailgw.reports.received import Complaints, Source, TlsSummary


def print_summary(
    settings: Settings, sources: Sequence[Source], tls: Sequence[TlsSummary], complaints: Sequence[Complaints]
) -> None:
    """Print a table for each domain; sources that are ours have a `*`."""
    own = own_addresses(settings)
    output = console()
    for domain in dict.fromkeys(source.domain for source in sources):
        table = Table(
            "source", "messages", "passed", "DKIM", "SPF", "quarantined", "rejected", "reported by", title=domain
        )
        mine = [source for source in sources if source.domain == domain]
        for source in mine:
            table.add_row(
                printable(source.address) + (" *" if source.address in own else ""),
                str(source.messages),
                _share(source.passed, source.messages),
                _share(source.dkim, source.messages),
                _share(source.spf, source.messages),
                str(source.quarantined),
                str(source.rejected),
                printable(", ".join(source.reporters)),
            )
        output.print(table)
        messages, passed = sum(source.messages for source in mine), sum(source.passed for source in mine)
        output.print(f"{messages} messages in the name of {domain}, {_share(passed, messages)} pass DMARC")
    if any(source.address in own for source in sources):
        output.print("* one of our own addresses")
    if tls:
        _print_tls(tls)
    if complaints:
        table = Table("domain", "kind", "source", "incidents", title="Complaints and failures (ARF)")
        for item in complaints:
            table.add_row(*map(printable, (item.domain, item.type, item.address, str(item.incidents))))
        output.print(table)


def _print_tls(summaries: Sequence[TlsSummary]) -> None:
    table = Table("domain", "policy", "sessions", "failed", "why", "reported by", title="TLS")
    for item in summaries:
        why = ", ".join(f"{kind} {number}" for kind, number in item.failures)
        sessions = str(item.successes + item.failed)
        reporters = ", ".join(item.reporters)
        table.add_row(*map(printable, (item.domain, item.policy, sessions, str(item.failed), why, reporters)))
    console().print(table)


def to_json(
    settings: Settings, sources: Sequence[Source], tls: Sequence[TlsSummary], complaints: Sequence[Complaints]
) -> Iterator[str]:
    """Give the same, a line for each row of the tables."""
    own = own_addresses(settings)
    for source in sources:
        yield json.dumps({"kind": "dmarc", **attrs.asdict(source), "own": source.address in own})
    for summary in tls:
        yield json.dumps({"kind": "tls", **attrs.asdict(summary), "failures": dict(summary.failures)})
    for item in complaints:
        yield json.dumps({"kind": "arf", **attrs.asdict(item)})


def own_addresses(settings: Settings) -> Networks:
    """Our own networks, and the addresses that we listen on; what listens on all addresses says nothing."""
    addresses = {parse_address(text)[0] for listener in settings.listeners.values() for text in listener.addresses} - {
        "0.0.0.0",
        "::",
    }
    return Networks([*settings.own_networks, *addresses])


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""
