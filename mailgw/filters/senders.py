"""Senders that are allowed or denied by lists: for everybody, for a domain of ours, for one recipient."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import ClassVar

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.config.errors import ConfigurationErrors
from mailgw.filters.base import FilterSettings
from mailgw.filters.identities import domain_of, find_author, is_proven, proven_by
from mailgw.filters.sender_lists import Sender, SenderEntry, SenderLists, concerns, load_sender_lists
from mailgw.mail.address import Mailbox
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import Threads

_INTERVAL = 2.0
"""Seconds between looks at the file."""

Decision = tuple[str, str]
"""A symbol, and the detail that says by which entry."""


@frozen
class SendersSettings(FilterSettings):
    file: str = field(
        default="",
        metadata={
            "doc": "The lists, relative to this file's folder; empty: none. One entry a line: `RECIPIENT allow|deny"
            " SENDER`. RECIPIENT is an address, `@domain` or `*`; SENDER an address, a domain (with those below it), a"
            " network, or `dkim:domain` or `spf:domain`. The recipient's entry goes before its domain's, and that"
            " before `*`; among equals an address before a domain, and deny before allow. An allow by address or domain"
            " counts when DKIM, SPF or DMARC prove the domain of From, or with `unproven` behind it. The file is read"
            " again when it changes."
        },
    )


class Senders:
    """States what lists of allowed and denied senders say. Their weights decide between inbox and spam folder; to
    refuse denied senders: `[rules] SENDER_DENIED = "reject"`. Hard rules of other symbols hold for allowed ones too."""

    name: ClassVar[str] = "senders"
    symbols: ClassVar[Mapping[str, float]] = {
        "SENDER_ALLOWED": -8.0,
        "SENDER_DENIED": 8.0,
        "SENDER_ALLOW_UNPROVEN": 0.0,
    }
    log: ClassVar[Logger] = Logger()

    def __init__(self, settings: SendersSettings, folder: str, clock: IReactorTime, threads: Threads) -> None:
        """`folder` is that of filters.toml. Raises ConfigurationErrors with what is wrong in the file."""
        self.settings = settings
        self._path = os.path.join(folder, settings.file) if settings.file else ""
        self._clock = clock
        self._threads = threads
        self._looked = clock.seconds()
        self._version = _version(self._path)
        self._lists = load_sender_lists(self._path) if self._path else SenderLists()

    async def check(self, transaction: Transaction) -> list[Evidence]:
        if not self._path or transaction.client.identity:
            return []
        if self._clock.seconds() - self._looked >= _INTERVAL:
            self._looked = self._clock.seconds()
            await self._refresh()
        if not self._lists:
            return []
        matching = self._lists.matching(_find_sender(transaction))
        if not matching:
            return []
        decided: dict[Decision, list[int]] = {}
        for number, recipient in enumerate(transaction.envelope.recipients):
            for decision in _decide(matching, recipient.forward_path):
                decided.setdefault(decision, []).append(number)
        everybody = len(transaction.envelope.recipients)
        return [
            Evidence(symbol, detail, recipients=() if len(numbers) == everybody else tuple(numbers))
            for (symbol, detail), numbers in decided.items()
        ]

    async def _refresh(self) -> None:
        """Read the file again when it has changed; when it is wrong, the lists stay as they are. Never raises."""
        try:
            version = await self._threads.run(_version, self._path)
            if version == self._version:
                return
            self._version = version
            self._lists = await self._threads.run(load_sender_lists, self._path)
        except ConfigurationErrors as errors:
            for error in errors.errors:
                self.log.error("{problem}", event="senders_refused", problem=str(error))
        else:
            self.log.info("the lists of senders were read again", event="senders_changed")


def _decide(matching: list[tuple[SenderEntry, bool]], recipient: Mailbox) -> Iterator[Decision]:
    """Give what the first entry says that concerns a recipient and counts, with those before it that do not."""
    mine = [(entry, counts) for entry, counts in matching if concerns(entry, recipient)]
    winner = next((n for n, (_, counts) in enumerate(mine) if counts), len(mine))
    for entry, _ in mine[:winner]:
        yield "SENDER_ALLOW_UNPROVEN", f"{entry}: nothing proves the sender's domain, so it does not count"
    if winner == len(mine):
        return
    entry = mine[winner][0]
    others = [str(other) for other, counts in mine[winner + 1 :] if counts and other.allow != entry.allow]
    beaten = f"; it goes before: {', '.join(others[:3])}" if others else ""
    yield ("SENDER_ALLOWED" if entry.allow else "SENDER_DENIED"), f"{entry}{beaten}"


def _find_sender(transaction: Transaction) -> Sender:
    author = find_author(transaction.message).mailbox if transaction.message is not None else None
    addresses: dict[str, None] = {}
    domains: dict[str, None] = {}
    for mailbox in (author, transaction.envelope.reverse_path):
        domain = domain_of(mailbox)
        if mailbox is not None and domain:
            addresses[f"{mailbox.local_part.lower()}@{domain}"] = None
            domains[domain] = None
    # The envelope sender's domain proves nothing for what readers see: SPF passes for every spammer's own.
    shown = domain_of(author)
    return Sender(
        tuple(addresses),
        tuple(domains),
        frozenset([shown]) if shown and is_proven(shown, transaction) else frozenset(),
        proven_by("dkim", transaction),
        proven_by("spf", transaction),
        transaction.client.address,
    )


def _version(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ctime_ns, status.st_size, status.st_ino
