"""Filters of other packages: `[filters.NAME] class = "package.module:Class"`."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from mailgw.config.errors import ConfigError
from mailgw.config.text import number_lines, quote_key
from mailgw.filters.base import FilterSettings

KEY = "class"
_DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
_SYMBOL = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class _FaultError(Exception):
    """What is wrong with a class; the text is for the postmaster."""


@frozen
class Foreign:
    """A filter class of another package, with the class of its settings. It is made as `filter(settings, services)`
    (`catalogue.Services`)."""

    filter: Any
    settings: type[FilterSettings]


def find_foreign(
    sections: Mapping[str, Mapping[str, Any]], path: str, taken: Mapping[str, str]
) -> tuple[dict[str, Foreign], list[ConfigError]]:
    """Import the classes that sections [filters.NAME] name, by NAME, and say what is wrong with them.

    `taken` are the symbols of our own filters, by the name of who states them. Importing runs code of the package: that
    is what its postmaster asked for.
    """
    found: dict[str, Foreign] = {}
    errors = []
    owners = dict(taken)
    for name, section in sections.items():
        if KEY not in section:
            continue
        try:
            foreign = _find(name, section[KEY])
            _check_symbols(foreign.filter, owners)
        except _FaultError as fault:
            errors.append(ConfigError(path, f"filters.{quote_key(name)}.{KEY}", str(fault)))
            continue
        found[name] = foreign
        owners |= dict.fromkeys(foreign.filter.symbols, name)
    return found, number_lines(errors)


def _find(name: str, dotted: Any) -> Foreign:
    match = _DOTTED.fullmatch(dotted) if isinstance(dotted, str) else None
    if match is None:
        raise _FaultError('expected "package.module:Class"')
    module_name, class_name = match.groups()
    module = _import(module_name)
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        raise _FaultError(f"the module {module_name} has no class {class_name}")
    if not inspect.iscoroutinefunction(getattr(found, "check", None)):
        raise _FaultError(f"{class_name} is no filter: it has no `async def check(self, transaction)`")
    if getattr(found, "name", None) != name:
        own = getattr(found, "name", None)
        raise _FaultError(f"{class_name} is called {own!r}; its section must be [filters.{own}]")
    settings = getattr(found, "settings_class", FilterSettings)
    if not (inspect.isclass(settings) and issubclass(settings, FilterSettings)):
        raise _FaultError(f"{class_name}.settings_class is not derived from mailgw.filters.base.FilterSettings")
    return Foreign(found, settings)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise _FaultError(f"there is no module {error.name}; is its package installed beside mailgw?") from None
        raise _FaultError(f"the module {name} needs {error.name}, which is not installed") from None
    except Exception as error:  # whatever its code raises
        raise _FaultError(f"the module {name} cannot be imported: {type(error).__name__}: {error}") from None


def _check_symbols(found: Any, owners: Mapping[str, str]) -> None:
    symbols = getattr(found, "symbols", None)
    if not isinstance(symbols, Mapping):
        raise _FaultError(f"{found.__name__} is no filter: it has no `symbols`, a mapping of symbol to weight")
    for symbol, weight in symbols.items():
        if not (isinstance(symbol, str) and _SYMBOL.fullmatch(symbol)):
            raise _FaultError(f"{symbol!r} is no symbol; write capitals, digits and _ such as SITE_OFFER")
        if not isinstance(weight, (int, float)) or isinstance(weight, bool):
            raise _FaultError(f"the weight of {symbol} is no number")
        if symbol in owners:
            raise _FaultError(f"{symbol} is a symbol of {owners[symbol]} already")
