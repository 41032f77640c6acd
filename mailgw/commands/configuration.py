"""`--config`, and what every command does when the configuration is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.load import load_settings
from mailgw.config.schema import Settings

F = TypeVar("F", bound=Callable[..., Any])

INSTALLED = Path("/etc/mailgw/mailgw.toml")
_META = "mailgw.config"


def config_option(command: F) -> F:
    """Give a command `--config`: it may stand before the command's name or behind it."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="MAILGW_CONFIG",
        expose_value=False,
        callback=_keep,
        help=f"The configuration; by default $MAILGW_CONFIG, {INSTALLED} or ./etc/mailgw.toml.",
    )(command)


def config_path() -> Path:
    """Give the path of mailgw.toml for the command that runs."""
    given = click.get_current_context().meta.get(_META)
    if isinstance(given, Path):
        return given.absolute()
    local = Path("etc/mailgw.toml").absolute()
    return local if local.exists() and not INSTALLED.exists() else INSTALLED


def read_settings() -> Settings:
    """Read mailgw.toml alone. Ends the command with every error when it is wrong."""
    try:
        return load_settings(config_path())
    except ConfigurationErrors as errors:
        raise ConfigurationRefused(errors.errors) from None


class ConfigurationRefused(click.ClickException):
    """Ends the command with the errors, one a line, and exit code 1."""

    def __init__(self, errors: tuple[ConfigError, ...]) -> None:
        super().__init__("\n".join(str(error) for error in errors))

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file=file, err=file is None)


def _keep(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    # The environment's value comes again with each command; what was written before its name is stronger.
    source = context.get_parameter_source("config")
    if value is not None and (_META not in context.meta or source is click.core.ParameterSource.COMMANDLINE):
        context.meta[_META] = value
