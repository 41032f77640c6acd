"""`mailgw check`: everything that is wrong in the configuration."""

from __future__ import annotations

import click

from mailgw.commands.configuration import ConfigurationRefused, config_option, config_path
from mailgw.config.errors import ConfigurationErrors


@click.command()
@config_option
def check() -> None:
    """Read the configuration and every file that it names; say all that is wrong.

    Ends with 1 when something is. Asks no DNS and opens no port.
    """
    # The whole gateway is imported to read it: other commands need not wait for that.
    from twisted.internet.task import Clock

    from mailgw.composition import load
    from mailgw.operation.threads import ThreadsInline
    from mailgw.operation.tls import TlsError, server_options

    path = config_path()
    try:
        # Filters are made, and never run: their clock stands still.
        etc = load(path, Clock(), ThreadsInline())
    except ConfigurationErrors as errors:
        raise ConfigurationRefused(errors.errors) from None
    try:
        server_options(etc.settings.tls)
    except TlsError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: no errors")
