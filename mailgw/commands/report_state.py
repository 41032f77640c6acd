"""What the commands of reports share: days as people give them, and the state of reports."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mailgw.commands.configuration import read_settings
from mailgw.reports.tables import DAY, MIGRATIONS, database_path
from mailgw.state.database import StateUnusable, connect

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


class Day(click.ParamType[int]):
    """A day in UTC, as the number since the epoch."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return int(datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) // DAY
        except ValueError:
            self.fail(f"{value!r} is not a day such as {datetime.now(UTC):%Y-%m-%d}", param, ctx)


class Since(click.ParamType[float]):
    """A day, or a time ago such as 7d; as seconds since the epoch."""

    name = "DAYSd|YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        if text.endswith("d") and text[:-1].isdigit() and len(text) < 6:
            return (datetime.now(UTC) - timedelta(days=int(text[:-1]))).timestamp()
        return float(Day().convert(text, param, ctx) * DAY)


def today() -> int:
    return int(time.time()) // DAY


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """The state for a look. One that is not there yet is empty."""
    path = database_path(read_settings().state_directory)
    where = path if path.exists() else Path(":memory:")
    with opened(lambda: connect(path, MIGRATIONS, read_only=True) if where is path else _empty()) as connection:
        yield connection


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for script in MIGRATIONS:
        connection.executescript(script)
    return connection


@contextmanager
def opened(open_it: Callable[[], sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
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


def give_to_owner(path: Path) -> None:
    """What root makes here belongs to whom the folder belongs to: the gateway runs as that user."""
    import os

    if os.geteuid() == 0:
        owner = path.parent.stat()
        for file in path.parent.glob(f"{path.name}*"):
            os.chown(file, owner.st_uid, owner.st_gid)
