"""A finding, and how bad it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from attrs import frozen

Level = Literal["ok", "note", "warning", "error"]
"""`error`: mail is lost or refused. `warning`: it may be, or will be. `note`: it could be better."""

LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "error")


@frozen
class Finding:
    """`subject` is what was looked at (`SPF`), `about` whose (a domain, a host, an address); `fact` is what was found,
    `advice` what to do in one sentence; `record` is a line for the zone file, where one helps."""

    level: Level
    subject: str
    about: str
    fact: str
    advice: str = ""
    record: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Give the worst level; `ok` when there is none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")


def shown(text: bytes | str, length: int = 120) -> str:
    """Make what somebody has published safe to print, and not too long."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    safe = "".join(c if c.isprintable() else "?" for c in plain)
    return safe if len(safe) <= length else f"{safe[:length]}..."


def txt_record(name: str, text: str) -> str:
    """Write a TXT record as a zone file has it, in strings of at most 255 octets (RFC 1035 3.3.14)."""
    strings = [f'"{text[start : start + 255]}"' for start in range(0, len(text), 255)]
    return f"{name}. IN TXT {' '.join(strings)}"
