"""The aliases file: `address: target, target` a line; a line that starts with space continues the one above.

A `#` at the start of a line or after a space starts a comment. An address needs its domain, except where only one
domain is configured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import frozen

from mailgw.config.errors import ConfigError
from mailgw.mail.address import AddressError, Mailbox
from mailgw.routing.recipients import Key, mailbox_key, parse_mailbox

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
# A quoted local part may hold a colon or a comma.
_NAME = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^":])+):')
_TARGET = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",]|")+')


@frozen
class Alias:
    """A line of the aliases file."""

    mailbox: Mailbox
    targets: tuple[Mailbox, ...]
    line: int

    @property
    def key(self) -> Key:
        return mailbox_key(self.mailbox)


def parse_aliases(text: str, file: str, default_domain: str = "") -> tuple[Mapping[Key, Alias], list[ConfigError]]:
    """Read the text of an aliases file: its aliases, and every line that is wrong.

    `default_domain` completes addresses without one; without it they are errors.
    """
    aliases: dict[Key, Alias] = {}
    errors = []
    for number, entry in _entries(text):
        try:
            alias = _parse_entry(entry, number, default_domain)
        except ValueError as error:
            errors.append(ConfigError(file, "", str(error), number))
            continue
        first = aliases.setdefault(alias.key, alias)
        if first is not alias:
            message = f"is in line {first.line} already; write all targets in one line"
            errors.append(ConfigError(file, str(alias.mailbox), message, number))
    return aliases, errors


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Give each entry with the number of its first line; continuation lines are joined."""
    start, entry = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        content = _COMMENT.sub("", line).rstrip()
        if not content.strip():
            continue  # an empty line or a comment does not end an entry that goes on below it
        if content[0].isspace() and entry:
            entry += " " + content.strip()
            continue
        if entry:
            yield start, entry
        start, entry = number, content.strip()
    if entry:
        yield start, entry


def _parse_entry(entry: str, number: int, default_domain: str) -> Alias:
    name = _NAME.match(entry)
    if not name:
        raise ValueError(f'"{entry}" is not ADDRESS: TARGET, TARGET')
    text = name.group(1).strip()
    if text.startswith("@"):
        domain = text[1:]
        raise ValueError(f'"{text}" is no address; for a whole domain set catch_all in [domains."{domain}"]')
    mailbox = _parse_mailbox(text, default_domain)
    parts = [part.strip() for part in _TARGET.findall(entry, name.end())]
    targets = tuple(_parse_mailbox(part, default_domain) for part in parts if part)
    if not targets:
        raise ValueError(f"{mailbox} has no target")
    return Alias(mailbox, targets, number)


def _parse_mailbox(text: str, default_domain: str) -> Mailbox:
    if text.startswith(("|", "/", ":include:", '"|')):
        raise ValueError(f'"{text}" is no address; programs, files and lists cannot be targets')
    try:
        return parse_mailbox(text, default_domain)
    except AddressError as error:
        hint = " (with several domains an alias names its own)" if "@" not in text else ""
        raise ValueError(f'"{text}" is not an address: {error}{hint}') from None
