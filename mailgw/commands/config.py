"""`mailgw config`: the configuration as it is shipped."""

from __future__ import annotations

import click

from mailgw.config import document
from mailgw.delivery.wording import languages, shipped_words


@click.group()
def config() -> None:
    """Show the configuration's keys."""


@config.command("show-defaults")
@click.argument("file", type=click.Choice(["mailgw.toml", "filters.toml"]))
def show_defaults(file: str) -> None:
    """Print a file with every key that there is, its default, and what it means."""
    click.echo(shipped(file), nl=False)


@config.command("show-wording")
@click.argument("language", type=click.Choice(languages()))
def show_wording(language: str) -> None:
    """Print the words of reports to senders: any key of it may stand in [reports] wording_file."""
    click.echo(shipped_words(language).read_text(), nl=False)


def shipped(file: str) -> str:
    """Give the text of a shipped file of etc/."""
    if file == "mailgw.toml":
        return document.main_file()
    # Filters bring all their libraries: other commands need not wait for them.
    from mailgw.filters import runner
    from mailgw.filters.catalogue import FILTERS
    from mailgw.senderauth.authenticator import SYMBOLS
    from mailgw.verdict import policy

    filters = [(entry.filter, entry.settings) for entry in FILTERS]
    others = {
        "sender authentication": SYMBOLS,
        "greylisting": policy.SYMBOLS,
        "filters that fail": runner.SYMBOLS,
    }
    return document.filter_file(filters, others)
