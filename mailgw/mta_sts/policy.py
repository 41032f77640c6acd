"""The text of a policy, and what it says (RFC 8461 3.2, 4.1)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from attrs import frozen

Mode = Literal["enforce", "testing", "none"]

# RFC 8461 3.2: about one year.
MAX_AGE = 31557600

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_EXCHANGE = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


class PolicyError(Exception):
    """The text is no policy; the text of this says why."""


@frozen
class Policy:
    """`exchanges` are patterns in lower case; `max_age` is in seconds."""

    mode: Mode
    exchanges: tuple[str, ...]
    max_age: int

    def names(self, host: str) -> bool:
        """Whether it names a host."""
        return is_named(host, self.exchanges)

    @property
    def lines(self) -> tuple[str, ...]:
        """Its text, without what we do not know of."""
        exchanges = (f"mx: {exchange}" for exchange in self.exchanges)
        return ("version: STSv1", f"mode: {self.mode}", *exchanges, f"max_age: {self.max_age}")


def is_named(host: str, patterns: Collection[str]) -> bool:
    """Whether a host is among those of a policy: a wildcard stands for one label, the leftmost (RFC 8461 4.1)."""
    name = host.lower()
    return name in patterns or f"*.{name.partition('.')[2]}" in patterns


def parse_policy(body: bytes) -> Policy:
    """Take what a web server gave. Raises PolicyError.

    Fields that we do not know are passed over; of a field that may stand once, the first counts (RFC 8461 3.2).
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError("it is not UTF-8") from None
    first: dict[str, str] = {}
    exchanges = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip(" \t"):
            continue
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not _NAME.fullmatch(name):
            raise PolicyError(f"line {number} is not `name: value`")
        if name == "mx":
            exchanges.append(_exchange(value, number))
        first.setdefault(name, value)
    if first.get("version") != "STSv1":
        raise PolicyError("it has no `version: STSv1`")
    mode = _mode(first.get("mode"))
    if not exchanges and mode != "none":
        raise PolicyError(f"its mode is {mode}, and no line `mx:` names a host")
    return Policy(mode, tuple(dict.fromkeys(exchanges)), _max_age(first.get("max_age")))


def _exchange(value: str, line: int) -> str:
    name = value.lower().removesuffix(".")
    if len(name) > 255 or not _EXCHANGE.fullmatch(name):
        raise PolicyError(f"line {line} names no host")
    return name


def _mode(value: str | None) -> Mode:
    for mode in ("enforce", "testing", "none"):
        if value == mode:
            return mode
    raise PolicyError("it has no mode" if value is None else "its mode is none of enforce, testing, none")


def _max_age(value: str | None) -> int:
    if value is None:
        raise PolicyError("it has no max_age")
    if not re.fullmatch("[0-9]{1,10}", value):
        raise PolicyError("its max_age is no number of seconds")
    return min(int(value), MAX_AGE)
