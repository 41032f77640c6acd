"""A key of the configuration: its comment, its default, its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, field


def setting(
    doc: str,
    default: Any,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    path: bool = False,
    shown: Mapping[str, Any] | None = None,
) -> Any:
    """A key with its comment and its bounds; a number without a minimum must be above 0.

    `path` marks a path, which is taken relative to the folder of the file. A mutable default is given as a factory.
    `shown` are the named sections that the shipped file shows of a filter's mapping.
    """
    metadata = {"doc": doc, "minimum": minimum, "maximum": maximum, "path": path, "shown": shown}
    if isinstance(default, (dict, list)):
        value = default
        return field(default=Factory(lambda: type(value)(value)), metadata=metadata)
    return field(default=default, metadata=metadata)
