"""`mailgw check`: everything that is wrong in the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mailgw.commands.configuration import ConfigurationRefused, config_option, config_path, read_settings
from mailgw.commands.permissions import problems_of_user
from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.config.text import number_lines, quote_key, read_text


@click.command()
@config_option
def check() -> None:
    """Read the configuration and every file that it names, and judge the messages of etc/tests; say all that is wrong.

    Ends with 1 when something is. Asks no DNS and opens no port. Run it as root, who may read the TLS key, and may
    look at what the user of the gateway can read and write.
    """
    path = config_path()
    settings = read_settings()
    remarks, errors_of_keys = _look_at_keys(settings)
    errors = [
        *_errors_of_parts(path),
        *_errors_of_secrets(settings, path),
        *errors_of_keys,
        *_errors_of_user(settings, path),
    ]
    if errors:
        raise ConfigurationRefused(tuple(errors))
    for remark in remarks:
        click.echo(f"{path}: warning: {remark}", err=True)
    click.echo(f"{path}: no errors")


def _errors_of_parts(path: Path) -> Iterator[ConfigError]:
    # The whole gateway is imported to make its parts: other commands need not wait for that.
    from twisted.internet.task import Clock

    from mailgw.composition.etc import load
    from mailgw.composition.expectations import try_expectations
    from mailgw.operation.threads import ThreadsInline

    try:
        yield from try_expectations(load(path, Clock(), ThreadsInline()))
    except ConfigurationErrors as errors:
        yield from errors.errors


def _errors_of_secrets(settings: Settings, path: Path) -> Iterator[ConfigError]:
    """Look at certificates, keys and passwords: what the gateway reads when it starts, or later."""
    from mailgw.delivery.tls.client import TrustError, read_trust
    from mailgw.operation.tls import TlsError, server_options

    try:
        server_options(settings.tls)
    except TlsError as error:
        key, _, message = str(error).partition(": ")
        yield from number_lines([ConfigError(str(path), key, message)])
    try:
        read_trust(settings.relay.ca_file)
    except TrustError as error:
        yield ConfigError(settings.relay.ca_file, "", str(error))
    for name, route in settings.routes.items():
        if route.password_file:
            problem = _problem_of_password(route.password_file)
            if problem:
                key = f"routes.{quote_key(name)}.password_file"
                yield from number_lines([ConfigError(str(path), key, problem)])


def _look_at_keys(settings: Settings) -> tuple[Sequence[str], Sequence[ConfigError]]:
    """Give what is to be said about the DKIM keys, and what is wrong with them."""
    from mailgw.delivery.dkim.domains import remarks
    from mailgw.delivery.dkim.keys import read_keys

    if not settings.signing.enabled:
        return (), ()
    try:
        return remarks(settings, read_keys(settings.signing.keys_directory)), ()
    except ConfigurationErrors as errors:
        return (), errors.errors


def _errors_of_user(settings: Settings, path: Path) -> list[ConfigError]:
    return number_lines([ConfigError(str(path), key, problem) for key, problem in problems_of_user(settings)])


def _problem_of_password(file: str) -> str:
    try:
        return "" if read_text(file).strip() else f"{file} is empty"
    except ConfigurationErrors as errors:
        return str(errors)
