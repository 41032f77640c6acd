"""What is wrong with [submission]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from mailgw.config.schema import Settings
from mailgw.config.text import nearest, quote_key
from mailgw.mail.address import AddressError, Mailbox, ascii_domain, parse_domain

Finding = tuple[str, str]


def check_submission(settings: Settings) -> Iterator[Finding]:
    """Give (key, what is wrong with it)."""
    for user, grant in settings.submission.send_as.items():
        section = f"submission.send_as.{quote_key(user)}"
        if user != "*":
            yield from _check_user(section, user, settings)
        if not grant.addresses:
            yield f"{section}.addresses", 'not set; write what the user may send as, such as ["info@example.org"]'
        for number, text in enumerate(grant.addresses):
            try:
                _check_pattern(text)
            except AddressError as error:
                what = f'"{text}" is no address, no domain, and no "*." and a domain: {error}'
                yield f"{section}.addresses[{number}]", what


def _check_user(section: str, user: str, settings: Settings) -> Iterator[Finding]:
    try:
        mailbox = Mailbox.parse(user)
    except AddressError as error:
        yield section, f'is named for no user (they have addresses), and not "*" for all: {error}'
        return
    ours = set()
    for name in settings.domains:
        with suppress(AddressError):  # its own check tells
            ours.add(ascii_domain(name))
    if mailbox.ascii_domain not in ours:
        yield section, f"{mailbox.domain} is no domain of ours{nearest(mailbox.domain, settings.domains)}"


def _check_pattern(text: str) -> None:
    if "@" in text:
        Mailbox.parse(text)
    elif text != "*":
        ascii_domain(parse_domain(text.removeprefix("*.")))
