"""`mailgw doctor`: what the world finds in DNS about us, and what to do about it."""

from __future__ import annotations

import datetime
import json
import random
import sys
from collections.abc import Sequence
from typing import Any

import attrs
import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import console, printable
from mailgw.commands.parameters import IpAddress
from mailgw.commands.running import run_in_reactor
from mailgw.config.schema import Settings
from mailgw.doctor.finding import LEVELS, Finding, Level, worst
from mailgw.mail.address import AddressError, ascii_domain

_CODES: dict[Level, int] = {"ok": 0, "note": 0, "warning": 1, "error": 2}
_STYLES: dict[Level, str] = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}


@click.command()
@config_option
@click.option(
    "--domain", "domains", multiple=True, help="Look at this domain of ours alone; may be given several times."
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    type=IpAddress(),
    help="An address that our mail comes from. By default those of public listeners, else of our hostname.",
)
@click.option("--offline", is_flag=True, help="Fetch no MTA-STS policy: ask DNS alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(domains: tuple[str, ...], addresses: tuple[str, ...], offline: bool, as_json: bool) -> None:
    """Hold what stands in DNS about our domains and addresses against the configuration.

    MX, SPF, DKIM, DMARC, MTA-STS, TLS-RPT, TLSA, PTR, EHLO name, certificate, resolver: what was found, and what to
    do. Changes nothing. Ends with 0 when all is well, 1 with a warning, 2 with an error.
    """
    settings = _of_domains(read_settings(), domains)
    findings: list[Finding] = []
    run_in_reactor(lambda reactor: _examine(reactor, settings, addresses, offline, findings))
    if as_json:
        rows = [attrs.asdict(finding) for finding in findings]
        click.echo(json.dumps({"level": worst(findings), "findings": rows}, indent=2))
    else:
        _print(findings)
    sys.exit(_CODES[worst(findings)])


def _of_domains(settings: Settings, domains: Sequence[str]) -> Settings:
    if not domains:
        return settings
    try:
        wanted = {ascii_domain(domain) for domain in domains}
    except AddressError as error:
        raise click.BadParameter(str(error), param_hint="--domain") from None
    ours = {ascii_domain(name): domain for name, domain in settings.domains.items()}
    if strange := sorted(wanted - set(ours)):
        known = ", ".join(sorted(ours)) or "none"
        raise click.BadParameter(f"{strange[0]} is no domain of ours ({known})", param_hint="--domain")
    return attrs.evolve(settings, domains={name: ours[name] for name in sorted(wanted)})


async def _examine(
    reactor: Any, settings: Settings, addresses: Sequence[str], offline: bool, findings: list[Finding]
) -> None:
    # The reactor and what needs it: other commands need not wait for their import.
    from mailgw.delivery.dkim.keys import read_keys
    from mailgw.dns.resolver import DnsResolver
    from mailgw.doctor.examine import examine
    from mailgw.doctor.site import make_site
    from mailgw.mta_sts.fetching import PolicyFetcher
    from mailgw.operation.tls import TlsError, read_chain

    resolver = DnsResolver(reactor, settings.dns, random.SystemRandom())
    chain: Sequence[Any] = ()
    try:
        chain = read_chain(settings.tls.certificate_file) if settings.tls.certificate_file else ()
    except TlsError as error:
        advice = "Correct the path, or run this as root."
        findings.append(Finding("error", "certificate", settings.hostname, str(error), advice))
    site = make_site(settings, chain, read_keys(settings.signing.keys_directory))
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("asking DNS", total=None)
        findings += await examine(
            resolver,
            site,
            datetime.datetime.now(datetime.UTC),
            addresses=addresses,
            servers=", ".join(map(str, resolver.servers)),
            untrusted=", ".join(str(server) for server in resolver.servers if not server.trusted),
            fetch=None if offline else PolicyFetcher(reactor, resolver),
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    await resolver.stop()


def _print(findings: Sequence[Finding]) -> None:
    table = Table("", "what", "of", "found")
    for finding in findings:
        level = Text(finding.level, style=_STYLES[finding.level])
        table.add_row(level, finding.subject, printable(finding.about), printable(finding.fact))
    output = console()
    output.print(table)
    problems = [finding for finding in findings if finding.advice]
    for finding in sorted(problems, key=lambda finding: -LEVELS.index(finding.level)):
        output.print()
        # What was found may be somebody else's words, as those of a web server are.
        first = f"{finding.level}: {finding.subject} of {finding.about}: {finding.fact}"
        output.print(printable(first), soft_wrap=True)
        output.print(printable(f"  {finding.advice}"), soft_wrap=True)
        if finding.record:
            output.print(printable(f"    {finding.record}"), soft_wrap=True)
    counts = [f"{sum(finding.level == level for finding in findings)} {level}" for level in LEVELS]
    output.print("\n" + ", ".join(counts))
