"""How far each key of a domain is in its life: the file `selectors` beside the keys.

A line is `SELECTOR STATE SINCE`. A key that is not named there signs, so one that is put there by hand works as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, cast, get_args

from attrs import frozen

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.text import read_text
from mailgw.operation.files import replace_file

State = Literal["pending", "active", "retiring", "removed"]
"""`pending`: made, not used yet. `active`: signs. `retiring`: signs no more, and its record has to stay for those who
verify late. `removed`: the file is gone; the name is remembered, so that it is not taken for another key."""

STATES_FILE = "selectors"
_HEAD = "# SELECTOR STATE SINCE; written by `mailgw dkim`. A key that is not named here signs.\n"
_SELECTOR = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@frozen
class Standing:
    """A line of `selectors`; `since` is a wall clock time in seconds."""

    state: State
    since: float


def read_standings(folder: str) -> Mapping[str, Standing]:
    """Read the `selectors` of a domain's folder; nothing when there is none. Raises ConfigurationErrors."""
    path = os.path.join(folder, STATES_FILE)
    if not os.path.lexists(path):
        return {}
    standings: dict[str, Standing] = {}
    errors = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            selector, standing = _parse_line(text)
        except ValueError as error:
            errors.append(ConfigError(path, "", str(error), number))
            continue
        if selector in standings:
            errors.append(ConfigError(path, selector, "stands in a line above already", number))
        standings[selector] = standing
    if errors:
        raise ConfigurationErrors(errors)
    return standings


def write_standings(folder: str, standings: Mapping[str, Standing], owner: tuple[int, int] = (-1, -1)) -> None:
    """Replace the `selectors` of a domain's folder. Raises OSError."""
    lines = [f"{selector} {standing.state} {_written(standing.since)}\n" for selector, standing in standings.items()]
    replace_file(os.path.join(folder, STATES_FILE), "".join((_HEAD, *lines)).encode(), 0o600, owner)


def is_selector(text: str) -> bool:
    """Whether it can stand in front of `._domainkey` (RFC 6376 3.1), in lower case."""
    return _SELECTOR.fullmatch(text) is not None


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def _parse_line(text: str) -> tuple[str, Standing]:
    words = text.split()
    if len(words) != 3:
        raise ValueError(f'"{text}" is not SELECTOR STATE SINCE')
    selector, state, since = words
    if not is_selector(selector):
        raise ValueError(f'"{selector}" is not a selector')
    if state not in get_args(State):
        raise ValueError(f'"{state}" is not one of {", ".join(get_args(State))}')
    try:
        moment = datetime.strptime(since, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f'"{since}" is not a time such as 2026-11-28T09:00:00Z') from None
    return selector, Standing(cast(State, state), moment.timestamp())
