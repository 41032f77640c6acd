"""Which addresses a list in the configuration names: domains, what is below them, addresses, all."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from mailgw.mail.address import Mailbox, ascii_domain, parse_domain
from mailgw.routing.recipients import local_key, mailbox_key, names

NULL_SENDER = "<>"
ANYTHING = "*"


@frozen
class Pattern:
    """What one list names. Domains are in A-labels; `below` are the ends of names: `.example.org`. An address
    fits with a detail too, which one of `separators` begins."""

    anything: bool = False
    null_sender: bool = False
    addresses: frozenset[tuple[str, str]] = frozenset()
    domains: frozenset[str] = frozenset()
    below: tuple[str, ...] = ()
    separators: str = ""

    @classmethod
    def parse(cls, texts: Iterable[str], separators: str = "") -> Pattern:
        """Read `example.org`, `*.example.org`, `alice@example.org`, `*` or `<>`. Raises AddressError."""
        given = set(texts)
        named = given - {ANYTHING, NULL_SENDER}
        addresses = {mailbox_key(Mailbox.parse(name)) for name in named if "@" in name}
        plain = {_domain(name) for name in named if "@" not in name}
        return cls(
            ANYTHING in given,
            NULL_SENDER in given,
            frozenset(addresses),
            frozenset(name for name in plain if not name.startswith("*.")),
            tuple(sorted(name[1:] for name in plain if name.startswith("*."))),
            separators,
        )

    def fits(self, mailbox: Mailbox | None) -> bool:
        """Whether it names an address; None is the null reverse-path."""
        if mailbox is None:
            return self.null_sender
        if self.anything:
            return True
        domain = mailbox.ascii_domain.removesuffix(".")
        if domain in self.domains or domain.endswith(self.below):
            return True
        return bool(self.addresses) and any(
            (name, domain) in self.addresses for name in names(local_key(mailbox.local_part), self.separators)
        )


def _domain(text: str) -> str:
    below = "*." if text.startswith("*.") else ""
    return below + ascii_domain(parse_domain(text.removeprefix("*.")))
