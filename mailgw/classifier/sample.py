"""What the classifier reads of a message: bounded, and the same whether it is judged or learned from its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b

from attrs import frozen

from mailgw.mail.message import Field

ROUTE_SIZE = 3000
"""Octets of the message as it came that are read."""
FIELDS_SIZE = 4000
TEXT_SIZE = 3500
URLS_SIZE = 500

_GENERAL_NAMES = (
    "auto-submitted cc date errors-to from importance in-reply-to message-id mime-version organization precedence"
    " priority references reply-to sender subject thread-topic to user-agent x-mailer x-mimeole x-msmail-priority"
    " x-priority"
)
_GENERAL = frozenset(_GENERAL_NAMES.split())
_GENERAL_PREFIXES = ("list-", "content-")
# What hops of ours, other filters and mail programs write behind the sender's back. It is no property of the message:
# a filter's opinion would be learned instead of the message, and a copy in a folder has more of them.
_LATER_NAMES = (
    "authentication-results delivered-to envelope-to lines received-spf return-path status x-account-key x-bogosity"
    " x-gm-labels x-keywords x-original-to x-status x-uid x-uidl"
)
_LATER = frozenset(_LATER_NAMES.split())
_LATER_PREFIX_NAMES = (
    "arc- x-amavis x-dspam- x-envelope- x-evolution x-greylist x-imap x-mozilla- x-ms-exchange- x-rspamd- x-scanned"
    " x-spam x-virus"
)
_LATER_PREFIXES = tuple(_LATER_PREFIX_NAMES.split())
_OUR_HOP = b"(mailgw) with "


@frozen
class Sample:
    """`route`: the message from its first octet on, lines ending with LF, without fields that were written later.

    `fields`: general header fields, `Name: decoded value` a line. `subject` is the value of that field. `text`: the
    readable text; `urls`: the links, one a line. All but `route` are UTF-8.
    """

    route: bytes
    fields: bytes
    subject: bytes
    text: bytes
    urls: bytes

    @property
    def key(self) -> bytes:
        """A digest of all that is read: messages with the same key are the same to the classifier."""
        digest = blake2b(digest_size=16)
        for part in (self.route, self.fields, self.text, self.urls):
            digest.update(b"%d:" % len(part))
            digest.update(part)
        return digest.digest()


def make_sample(
    fields: Iterable[Field], decode: Callable[[bytes], str], body: bytes, text: str, urls: Iterable[str]
) -> Sample:
    """Make a sample.

    `fields` are the header fields from top to bottom, and `decode` makes text of a field's value; `body` are the octets
    behind the header section (ROUTE_SIZE of them are enough), `text` is the readable text of all parts, `urls` are the
    links.
    """
    kept: list[bytes] = []
    general: list[str] = []
    subject = ""
    room = ROUTE_SIZE
    general_room = FIELDS_SIZE
    for field in fields:
        key = field.key
        if room > 0 and not _written_later(field, key):
            kept.append(field.raw)
            room -= len(field.raw)
        if general_room > 0 and (key in _GENERAL or key.startswith(_GENERAL_PREFIXES)):
            value = decode(field.value)
            line = f"{field.name}: {value}"
            general.append(line)
            general_room -= len(line)
            if key == "subject" and not subject:
                subject = value
    if room > 0:
        kept += (b"\n", body[:room])
    return Sample(
        b"".join(kept).replace(b"\r\n", b"\n")[:ROUTE_SIZE],
        _octets("\n".join(general), FIELDS_SIZE),
        _octets(subject, FIELDS_SIZE),
        _octets(text[:TEXT_SIZE], TEXT_SIZE),
        _octets("\n".join(_first(urls, URLS_SIZE)), URLS_SIZE),
    )


def _written_later(field: Field, key: str) -> bool:
    if key in _LATER or key.startswith(_LATER_PREFIXES):
        return True
    return key == "received" and _OUR_HOP in field.raw


def _octets(text: str, size: int) -> bytes:
    return text.encode("utf-8", "replace")[:size]


def _first(texts: Iterable[str], size: int) -> list[str]:
    """Give the texts that make up the first `size` characters."""
    found = []
    for text in texts:
        if size <= 0:
            break
        found.append(text[:size])
        size -= len(text) + 1
    return found
