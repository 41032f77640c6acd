"""Who is known in our domains: users, aliases, and the recipients of domains that are routed on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator, Mapping

from attrs import define, frozen

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.text import read_text
from mailgw.mail.address import AddressError, Mailbox
from mailgw.queue.item import Destination
from mailgw.routing.interface import Target

Key = tuple[str, str]
"""A mailbox of ours, made comparable: the local part in lower case, the domain in A-labels."""

POSTMASTER = "postmaster"
# Routing inside a local part: user%elsewhere@ours, elsewhere!user@ours, "user@elsewhere"@ours (RFC 5321 4.1.2 leaves
# local parts to us, RFC 1123 5.2.16 describes the first). A next hop might follow it, and relay for a stranger.
_ROUTING = re.compile(r"[@%!]")


def local_key(local_part: str) -> str:
    """Make a local part of one of our domains comparable: case and Unicode composition do not count."""
    if local_part.isascii():
        return local_part.lower()
    return unicodedata.normalize("NFC", local_part).lower()


def mailbox_key(mailbox: Mailbox) -> Key:
    return local_key(mailbox.local_part), mailbox.ascii_domain


def canonical(mailbox: Mailbox) -> Mailbox:
    """Give the one spelling of a mailbox of ours, for folders and identities."""
    return Mailbox(*mailbox_key(mailbox))


def names(local: str, separators: str) -> Iterator[str]:
    """Give the names that a local part may stand for: itself, then without its detail, the longest first."""
    yield local
    for position in range(len(local) - 1, 0, -1):
        if local[position] in separators:
            yield local[:position]


@define(eq=False)
class RecipientList:
    """The known local parts of a domain, as its recipients_command gave them last; None until it first did."""

    names: frozenset[str] | None = None

    def __contains__(self, name: object) -> bool:
        return self.names is not None and name in self.names


@frozen
class OurDomain:
    """A domain of ours. `destination` is where its mail goes on to, or None when it has mailboxes here.

    `recipients` are the known local parts of a domain that goes on, or None when any is taken; then `call_ahead` says
    that its next hop knows them.
    """

    name: str
    destination: Destination | None = None
    recipients: Container[str] | None = None
    call_ahead: bool = False


@frozen
class Recipients:
    """The mailboxes here by key, and the keys of aliases."""

    users: Mapping[Key, Target]
    aliases: Container[Key]
    separators: str

    def find(self, mailbox: Mailbox, domain: OurDomain) -> Key | Target | None:
        """Look an address of ours up: the key of its alias, or where it leads, or None when nobody knows it.

        What is listed as it stands wins over what is left without the detail; an alias wins over a mailbox.
        """
        local = local_key(mailbox.local_part)
        routing = self.has_routing(mailbox)
        # Routing in a local part is honoured by nobody here: such a name is known only when it is listed.
        for name in (local,) if routing else names(local, self.separators):
            key = (name, domain.name)
            if key in self.aliases:
                return key
            user = self.users.get(key)
            if user is not None:
                return user
            if domain.destination and domain.recipients is not None and name in domain.recipients:
                return Target(mailbox, domain.destination)
        if domain.destination and not routing and (domain.recipients is None or self.is_postmaster(mailbox)):
            return Target(mailbox, domain.destination)
        return None

    def has_routing(self, mailbox: Mailbox) -> bool:
        """Whether the local part reads like an address or a path in itself."""
        return _ROUTING.search(mailbox.local_part) is not None

    def is_postmaster(self, mailbox: Mailbox) -> bool:
        """Whether it is the reserved mailbox of RFC 5321 4.5.1, in any case, with or without a detail."""
        return POSTMASTER in names(local_key(mailbox.local_part), self.separators)


def read_recipients(path: str, domain: str) -> frozenset[str]:
    """Read the known recipients of a domain: an address a line, with or without the domain.

    Raises ConfigurationErrors with every line that is wrong.
    """
    recipients, errors = parse_recipients(read_text(path), path, domain)
    if errors:
        raise ConfigurationErrors(errors)
    return recipients


def parse_recipients(text: str, path: str, domain: str) -> tuple[frozenset[str], list[ConfigError]]:
    """Read the text of a list of recipients: the local parts, and every line that is wrong."""
    recipients = set()
    errors = []
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        try:
            mailbox = parse_mailbox(entry, domain)
        except AddressError as error:
            errors.append(ConfigError(path, "", f'"{entry}" is not an address: {error}', number))
            continue
        if mailbox.ascii_domain != domain:
            errors.append(ConfigError(path, "", f'"{entry}" is not in the domain {domain}', number))
        recipients.add(local_key(mailbox.local_part))
    return frozenset(recipients), errors


def parse_mailbox(text: str, default_domain: str) -> Mailbox:
    """Read an address; one without a domain gets the default, when there is one. Raises AddressError."""
    try:
        return Mailbox.parse(text)
    except AddressError:
        if not default_domain or "@" in text:
            raise
        return Mailbox.parse(f"{text}@{default_domain}")
