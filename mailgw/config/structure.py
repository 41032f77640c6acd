"""Parsed TOML into the frozen classes of the schema: every error at once, in plain words, with its key."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
from cattrs import Converter
from cattrs.cols import homogenous_tuple_structure_factory, is_mapping, mapping_structure_factory
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.text import nearest, number_lines, quote_key

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]


class _WrongValue(Exception):
    """A value that its key cannot have; the text says what is expected."""


def structure(cls: type[T], data: Mapping[str, Any], file: str, prefix: str = "") -> T:
    """Make an instance of an attrs class from a TOML table.

    `prefix` is the path of the table in the file (`filters.gtube`), for the keys that errors name. Raises
    ConfigurationErrors with everything that is wrong: unknown keys and values of a wrong type.
    """
    value, errors = structure_leniently(cls, data, file, prefix)
    if errors:
        raise ConfigurationErrors(errors)
    assert value is not None
    return value


def structure_leniently(
    cls: type[T], data: Mapping[str, Any], file: str, prefix: str = ""
) -> tuple[T | None, list[ConfigError]]:
    """Like `structure`, but give what can be made of the table, with the errors.

    Keys that are wrong have their defaults then, so that the rest can be checked further. It is None
    where a key without a default is missing.
    """
    converter = _converter()
    try:
        return converter.structure(data, cls), []
    except BaseValidationError as error:
        found = list(_errors(error, cls, ()))
    except _WrongValue as wrong:
        found = [((), str(wrong))]
    errors = [ConfigError(file, _join(prefix, path), message) for path, message in found]
    usable = _without(data, {path for path, _ in found})
    try:
        value = converter.structure(usable, cls)
    except (BaseValidationError, _WrongValue):
        value = None
    return value, number_lines(errors)


def _converter() -> Converter:
    """Give a converter that takes TOML's types as they are: nothing is coerced but an integer to a float."""
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, _take)
    converter.register_structure_hook_factory(_is_literal, lambda kind: _take_literal)
    converter.register_structure_hook_factory(_is_choice, lambda kind: _take_choice)
    converter.register_structure_hook_factory(
        _is_list,
        lambda kind: _only(list, "a list", homogenous_tuple_structure_factory(kind, converter)),
    )
    converter.register_structure_hook_factory(
        is_mapping, lambda kind: _only(dict, "a section", mapping_structure_factory(kind, converter))
    )
    converter.register_structure_hook_factory(
        attrs.has,
        lambda kind: _only(dict, "a section", make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)),
    )
    return converter


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_choice(kind: Any) -> bool:
    """`int | Literal["auto"]`, and the like."""
    return get_origin(kind) is Union


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis


def _only(kind: type, expected: str, hook: Hook) -> Hook:
    def check(value: Any, cls: Any) -> Any:
        if not isinstance(value, kind):
            _refuse(expected, value)
        return hook(value, cls)

    return check


def _take(value: Any, kind: type) -> Any:
    # bool is a subclass of int in Python, not in TOML.
    if type(value) is kind:
        if isinstance(value, float) and not math.isfinite(value):
            raise _WrongValue(f"expected a number, got {value}")
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind is int and type(value) is float:
        raise _WrongValue(f"expected a whole number, got {value}")
    _refuse(_EXPECTED[kind], value)


def _take_literal(value: Any, kind: Any) -> Any:
    choices = get_args(kind)
    # The type too: True equals 1.
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        wanted = _either(_show(choice) for choice in choices)
        raise _WrongValue(f"expected {wanted}, got {_show(value)}{nearest(value, choices)}")
    return value


def _take_choice(value: Any, kind: Any) -> Any:
    plain, words = get_args(kind)
    if isinstance(value, str) and value in get_args(words):
        return value
    if type(value) is not plain:
        wanted = " or ".join([_EXPECTED[plain], *(_show(word) for word in get_args(words))])
        _refuse(wanted, value)
    return value


def _show(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else _describe(value)


_EXPECTED: Mapping[type, str] = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _refuse(expected: str, value: Any) -> NoReturn:
    raise _WrongValue(f"expected {expected}, got {_describe(value)}")


def _describe(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, name in ((str, "a string"), ((int, float), "a number"), (list, "a list"), (dict, "a section")):
        if isinstance(value, kind):
            return name
    return "a date or time"


def _either(choices: Iterable[str]) -> str:
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last


def _errors(error: BaseException, cls: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Walk the tree of cattrs' errors; give (path of the key, message)."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            path = (*path, note.name)
        elif isinstance(note, IterableValidationNote):
            path = (*path, note.index)
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from _errors(inner, cls, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields):
            yield (*path, name), f"unknown key{_where_instead(name, error.cl, cls)}"
    elif isinstance(error, KeyError):
        yield path, "the key is missing"
    elif isinstance(error, _WrongValue):
        yield path, str(error)
    else:
        raise error


def _where_instead(name: str, section: type, root: Any) -> str:
    """Say what was probably meant: a near name in the same section, or the same name in another."""
    hint = nearest(name, (field.name for field in attrs.fields(section)))
    if hint:
        return hint
    places = {place.rpartition(".")[2]: place for place in reversed(list(_places(root, "")))}
    near = get_close_matches(name, places, n=1, cutoff=0.85)
    if not near:
        return ""
    place = places[near[0]].rpartition(".")[0]
    if near[0] != name:
        return f'; did you mean "{places[near[0]]}"?'
    # A key that follows a [section] header belongs to that section, wherever it was meant to be.
    return f"; it belongs in [{place}]" if place else "; it belongs at the top of the file, before the first section"


def _places(cls: Any, prefix: str) -> Iterator[str]:
    """Give the paths of all keys below a class of the schema."""
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        kind = hints[field.name]
        path = f"{prefix}{field.name}"
        if attrs.has(kind):
            yield from _places(kind, f"{path}.")
        elif is_mapping(kind) and attrs.has(get_args(kind)[1]):
            yield from _places(get_args(kind)[1], f"{path}.NAME.")
        yield path


def _join(prefix: str, path: Iterable[str | int]) -> str:
    text = prefix
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{quote_key(part)}" if text else quote_key(part)
    return text


def _without(data: Any, paths: set[tuple[str | int, ...]], at: tuple[str | int, ...] = ()) -> Any:
    if isinstance(data, Mapping):
        return {key: _without(value, paths, (*at, key)) for key, value in data.items() if (*at, key) not in paths}
    if isinstance(data, list):
        return [_without(value, paths, (*at, n)) for n, value in enumerate(data) if (*at, n) not in paths]
    return data
