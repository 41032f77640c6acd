"""Reading the files of the configuration: text, TOML, and the lines that keys stand in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import evolve

from mailgw.config.errors import ConfigError, ConfigurationErrors

# Far beyond any real file: a wrong path (a disk image, a log) must not fill the memory.
MAX_FILE = 64 * 1024 * 1024

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"\s*\[\[?[ \t]*({_DOTTED})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})[ \t]*=")
_TOML_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)$")


def read_text(path: str | Path) -> str:
    """Give the text of a file. Raises ConfigurationErrors with one error when it cannot be read."""
    file = str(path)
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise _single(file, "the file does not exist") from None
    except OSError as error:
        raise _single(file, f"the file cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise _single(file, f"the file is larger than {MAX_FILE} octets")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _single(file, "the file is not UTF-8; save it as UTF-8", line) from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """Give what a TOML file says. Raises ConfigurationErrors with one error that names the line."""
    file = str(path)
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        position = _TOML_POSITION.search(message)
        line = int(position.group(1)) if position else 0
        if message.endswith("(at end of document)"):
            line = text.count("\n") + 1
        column = f" (column {position.group(2)})" if position else ""
        plain = re.sub(r" \(at [^)]*\)$", "", message).replace(
            "Cannot overwrite a value", "a key that is already set above is set again"
        )
        raise _single(file, f"not valid TOML: {plain}{column}", line) from None
    except RecursionError:
        raise _single(file, "not valid TOML: nested too deeply") from None


def find_lines(text: str) -> dict[str, int]:
    """Map the path of each key and section of a TOML text to its line.

    A best effort for error messages: it looks at the start of each line only, so keys of inline tables are not found.
    """
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header:
            section = ""
            for part in _parts(header.group(1)):
                section = f"{section}.{part}" if section else part
                lines.setdefault(section, number)
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment:
            key = ".".join(_parts(assignment.group(1)))
            lines.setdefault(f"{section}.{key}" if section else key, number)
    return lines


def number_lines(errors: Iterable[ConfigError]) -> list[ConfigError]:
    """Put the line into each error of a TOML file that names a key; a key that is not there gets its section's."""
    known: dict[str, dict[str, int]] = {}
    numbered = []
    for error in errors:
        if error.key and not error.line:
            if error.file not in known:
                known[error.file] = _lines_of(error.file)
            error = evolve(error, line=_nearest_line(known[error.file], error.key))
        numbered.append(error)
    return numbered


def quote_key(part: str) -> str:
    """Write one part of a key path as TOML wants it: `example.org` is `"example.org"`."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", part):
        return part
    return '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'


def nearest(name: Any, known: Iterable[Any]) -> str:
    """Say which known name was probably meant: a text to go behind a message, empty where none is near."""
    if not isinstance(name, str):
        return ""
    near = get_close_matches(name.lower(), [str(k) for k in known], n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _parts(dotted: str) -> list[str]:
    """Give the parts of a key path, each in the one spelling that `quote_key` writes."""
    parts = re.findall(_PART, dotted)
    return [quote_key(part[1:-1] if part[0] in "\"'" else part) for part in parts]


def _lines_of(file: str) -> dict[str, int]:
    try:
        return find_lines(read_text(file))
    except ConfigurationErrors:
        return {}


def _nearest_line(lines: dict[str, int], key: str) -> int:
    key = re.sub(r"\[\d+\]", "", key)
    while key:
        if key in lines:
            return lines[key]
        key = ".".join(_parts(key)[:-1])
    return 0


def _single(file: str, message: str, line: int = 0) -> ConfigurationErrors:
    return ConfigurationErrors([ConfigError(file, "", message, line)])
