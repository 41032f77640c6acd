"""mailgw.toml and filters.toml, read whole and checked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from mailgw.config.check import Finding, check_settings
from mailgw.config.check_filters import check_filters
from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.schema import FilterFile, Settings
from mailgw.config.structure import structure, structure_leniently
from mailgw.config.text import number_lines, read_toml

__all__ = [
    "ConfigError",
    "ConfigurationErrors",
    "load_filter_file",
    "load_settings",
    "read_toml",
    "structure",
]


def load_settings(path: str | Path) -> Settings:
    """Read mailgw.toml. Paths in it come out absolute, taken from the folder of the file.

    Opens no other file. Raises ConfigurationErrors with everything that is wrong.
    """
    settings, errors = structure_leniently(Settings, read_toml(path), str(path))
    if settings is not None:
        errors += _new_errors(path, check_settings(settings), errors)
    if errors or settings is None:
        raise ConfigurationErrors(sorted(errors, key=lambda error: error.line))
    absolute: Settings = _absolute(settings, os.path.dirname(os.path.abspath(path)))
    return absolute


def load_filter_file(path: str | Path) -> FilterFile:
    """Read filters.toml; the sections of filters stay as they are, for each filter's settings class.

    Raises ConfigurationErrors with everything that is wrong.
    """
    filters, errors = structure_leniently(FilterFile, read_toml(path), str(path))
    if filters is not None:
        errors += _new_errors(path, check_filters(filters), errors)
    if errors or filters is None:
        raise ConfigurationErrors(sorted(errors, key=lambda error: error.line))
    return filters


def _new_errors(path: str | Path, findings: Iterable[Finding], errors: Iterable[ConfigError]) -> list[ConfigError]:
    """Make errors of what was found, but for what only follows from an error that is known already."""
    known = [error.key for error in errors]
    return number_lines(
        ConfigError(str(path), key, message)
        for key, message in findings
        if not any(_is_within(key, other) or _is_within(other, key) for other in known)
    )


def _is_within(key: str, section: str) -> bool:
    return key == section or key.startswith((f"{section}.", f"{section}["))


def _absolute(section: Any, folder: str) -> Any:
    """Give the section with its paths made absolute; empty ones stay empty."""
    changes: dict[str, Any] = {}
    for attribute in attrs.fields(type(section)):
        value = getattr(section, attribute.name)
        if attrs.has(type(value)):
            changes[attribute.name] = _absolute(value, folder)
        elif isinstance(value, dict):
            changes[attribute.name] = {
                name: _absolute(item, folder) if attrs.has(type(item)) else item for name, item in value.items()
            }
        elif attribute.metadata.get("path") and value:
            changes[attribute.name] = os.path.normpath(os.path.join(folder, value))
    return attrs.evolve(section, **changes)
