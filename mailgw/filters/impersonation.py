"""Impersonation: senders that pretend to be our people, our domains, or somebody whom an answer would not reach."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parseaddr
from typing import ClassVar

from attrs import field, frozen

from mailgw.filters.base import FilterSettings
from mailgw.filters.domains import registered_domain
from mailgw.filters.identities import Author, domain_of, find_author, is_proven
from mailgw.filters.letters import in_latin
from mailgw.filters.links import find_text_addresses
from mailgw.filters.lookalikes import Lookalikes
from mailgw.filters.text import show
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Transaction

FREEMAIL = (
    "gmail.com googlemail.com yahoo.com yahoo.co.uk yahoo.de yahoo.fr ymail.com outlook.com hotmail.com hotmail.co.uk"
    " hotmail.fr live.com msn.com aol.com icloud.com me.com mail.com gmx.com gmx.de gmx.net gmx.at gmx.ch web.de"
    " t-online.de freenet.de proton.me protonmail.com pm.me tutanota.com tuta.io zoho.com yandex.com yandex.ru mail.ru"
    " bk.ru inbox.ru list.ru rambler.ru qq.com 163.com 126.com sina.com naver.com hanmail.net orange.fr free.fr"
    " laposte.net libero.it seznam.cz wp.pl o2.pl inbox.lv rediffmail.com"
)
_WORDS = re.compile(r"\w+")
_MIN_WORDS = 2
"""Words of a person's name: one alone is shared by too many."""


@frozen
class ImpersonationSettings(FilterSettings):
    people: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": 'Those of ours whom others may pretend to be: "Ann Lee", or with the addresses that they write from:'
            ' "Ann Lee <ann.lee@example.org>". A name is at least two words; their order does not matter.'
        },
    )
    freemail: tuple[str, ...] = field(
        default=tuple(FREEMAIL.split()), metadata={"doc": "Domains where anybody gets an address for nothing."}
    )


class Impersonation:
    """States senders whose shown name, domain or Reply-To pretends something that their address does not bear out.
    Nothing is said of our own authenticated users."""

    name: ClassVar[str] = "impersonation"
    symbols: ClassVar[Mapping[str, float]] = {
        "FROM_NAME_OTHER_ADDRESS": 2.0,
        "FROM_NAME_OF_OURS": 3.0,
        "FROM_PERSON_OF_OURS": 4.0,
        "FROM_DOMAIN_OF_OURS": 3.0,
        "FROM_LOOKALIKE_OF_OURS": 5.0,
        "FREEMAIL_REPLY_TO_OTHER": 2.0,
        "REPLY_TO_OTHER_DOMAIN": 0.3,
    }

    def __init__(self, settings: ImpersonationSettings, own_domains: Iterable[str]) -> None:
        self.settings = settings
        self._own = frozenset(own_domains)
        self._registered = frozenset(map(registered_domain, self._own))
        self._lookalikes = Lookalikes(self._own)
        self._freemail = frozenset(settings.freemail)
        self._people: dict[frozenset[str], set[str]] = {}
        for person in settings.people:
            name, address = parseaddr(person)
            words = _words(name or person.partition("<")[0])
            if words:
                self._people.setdefault(words, set()).update([address.lower()] if "@" in address else [])

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        if message is None or transaction.client.identity:
            return []
        author = find_author(message)
        if author.mailbox is None:
            return []
        reply_to = find_author(message, "Reply-To")
        return [*self._domain(author, transaction), *self._name(author, transaction), *self._reply(author, reply_to)]

    def _is_own(self, domain: str) -> bool:
        return domain in self._own or registered_domain(domain) in self._registered

    def _domain(self, author: Author, transaction: Transaction) -> Iterator[Evidence]:
        domain = author.domain
        if self._is_own(domain):
            if transaction.client.service != "lmtp" and not is_proven(domain, transaction):
                detail = f"From is of {domain}, which is ours, and nothing proves it"
                yield Evidence("FROM_DOMAIN_OF_OURS", detail)
        elif imitated := self._lookalikes.find(domain):
            yield Evidence("FROM_LOOKALIKE_OF_OURS", f"the From domain {domain} looks like {imitated}")

    def _name(self, author: Author, transaction: Transaction) -> Iterator[Evidence]:
        if not author.name or (self._is_own(author.domain) and is_proven(author.domain, transaction)):
            return
        addresses = self._people.get(_words(author.name))
        if addresses is not None and str(author.mailbox).lower() not in addresses:
            detail = f"{show(author.name)} is one of our people, and writes from {author.domain}"
            yield Evidence("FROM_PERSON_OF_OURS", detail)
        for mailbox in find_text_addresses([author.name[:256]]):
            shown = domain_of(mailbox)
            if registered_domain(shown) == registered_domain(author.domain):
                continue
            symbol = "FROM_NAME_OF_OURS" if self._is_own(shown) else "FROM_NAME_OTHER_ADDRESS"
            yield Evidence(symbol, f"the name shows an address of {shown}, the address is of {author.domain}")
            return
        if any(name in author.name.lower() for name in self._own if "." in name) and not self._is_own(author.domain):
            yield Evidence("FROM_NAME_OF_OURS", f"{show(author.name)} names a domain of ours")

    def _reply(self, author: Author, reply_to: Author) -> Iterator[Evidence]:
        if reply_to.mailbox is None or author.mailbox is None:
            return
        domain, other = author.domain, reply_to.domain
        if domain in self._freemail and other in self._freemail:
            if str(author.mailbox).lower() != str(reply_to.mailbox).lower():
                detail = f"from {domain}, and answers go to another address of {other}"
                yield Evidence("FREEMAIL_REPLY_TO_OTHER", detail)
        elif registered_domain(domain) != registered_domain(other):
            detail = f"from {domain}, and answers go to {other}"
            # An answer to a stranger's free address is what frauds live on.
            yield Evidence("REPLY_TO_OTHER_DOMAIN", detail, 1.0 if other in self._freemail else 0.5)


def _words(name: str) -> frozenset[str]:
    words = frozenset(_WORDS.findall(in_latin(name).casefold()))
    return words if len(words) >= _MIN_WORDS else frozenset()
