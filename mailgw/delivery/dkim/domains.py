"""Which domains sign, and with which keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from mailgw.config.schema import Settings
from mailgw.config.text import quote_key
from mailgw.delivery.dkim.keys import StoredKey
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.senderauth.signing_key import SigningKey


@frozen
class KeyRing:
    """The keys that sign now, by domain, in the order of their signatures: RSA on top, which everybody knows."""

    keys: Mapping[str, tuple[SigningKey, ...]]
    hostname: str
    parent_domains: bool

    def for_author(self, domain: str) -> tuple[SigningKey, ...]:
        """The keys for mail of an author in a domain, in A-labels; none when it goes unsigned.

        This host's own mail, its reports, may always be signed by a domain of ours above it: for DMARC they are one
        organisation.
        """
        if self.parent_domains or domain == self.hostname:
            return next((self.keys[name] for name in _upwards(domain) if name in self.keys), ())
        return self.keys.get(domain, ())


def key_ring(settings: Settings, keys: Sequence[StoredKey]) -> KeyRing:
    """Choose the keys that sign."""
    ours = our_domains(settings)
    found: dict[str, list[SigningKey]] = {}
    for stored in keys if settings.signing.enabled else ():
        if stored.state == "active" and stored.domain in ours:
            found.setdefault(stored.domain, []).append(stored.key)
    ordered = {
        domain: tuple(sorted(group, key=lambda key: (not key.algorithm.startswith("rsa"), key.selector)))
        for domain, group in found.items()
    }
    return KeyRing(ordered, ascii_domain(settings.hostname), settings.signing.parent_domains)


def our_domains(settings: Settings) -> frozenset[str]:
    """The domains that we may sign for: ours, and the name of this host, which is in From of our reports."""
    return frozenset(ascii_domain(name) for name in (*settings.domains, settings.hostname))


def remarks(settings: Settings, keys: Sequence[StoredKey]) -> list[str]:
    """Give what a postmaster should know about the keys, a line each: no errors, mail goes out all the same."""
    if not settings.signing.enabled:
        return []
    lines = []
    directory = settings.signing.keys_directory
    ring = key_ring(settings, keys)
    if any(listener.kind == "submission" for listener in settings.listeners.values()):
        unsigned = [name for name in settings.domains if not ring.for_author(ascii_domain(name))]
        if unsigned:
            lines.append(
                f"mail from {_listing(unsigned)} goes out without a DKIM signature: no key that signs stands below "
                f"{directory}; `mailgw dkim new-key {unsigned[0]}` makes one"
            )
    reporter = Mailbox.parse(settings.tls_reports.sender).ascii_domain if settings.tls_reports.sender else ""
    if reporter and not ring.for_author(reporter):
        lines.append(
            f"no reports on TLS are sent: nobody takes them without a DKIM signature, and no key signs for {reporter}; "
            f"`mailgw dkim new-key {reporter}` makes one"
        )
    strangers = sorted({stored.domain for stored in keys} - our_domains(settings))
    if strangers:
        lines.append(
            f"the DKIM keys of {_listing(strangers)} are not used: write [domains.{quote_key(strangers[0])}] in "
            f"mailgw.toml, or remove {os.path.join(directory, strangers[0])}"
        )
    return lines


def _upwards(domain: str) -> Iterator[str]:
    while domain:
        yield domain
        domain = domain.partition(".")[2]


def _listing(domains: Sequence[str]) -> str:
    return ", ".join(domains[:5]) + (f" and {len(domains) - 5} more" if len(domains) > 5 else "")
