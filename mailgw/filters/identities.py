"""Who a message says that it is from, and which domains it has proven, for filters that compare the two."""

from __future__ import annotations

import re
from typing import Literal

from attrs import frozen

from mailgw.filters.addresses import find_addresses
from mailgw.filters.charset import decode_value
from mailgw.filters.domains import registered_domain
from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction

_MAX_VALUE = 4096
_NAME = re.compile(r"\s*(.*?)\s*<[^<>]*>\s*(?:\([^()]*\))?\s*", re.DOTALL)


@frozen
class Author:
    """The first author of a message: the name that is shown, and the address; either may be missing."""

    name: str = ""
    mailbox: Mailbox | None = None

    @property
    def domain(self) -> str:
        """The domain of the address in A-labels, or an empty string."""
        return domain_of(self.mailbox)


def domain_of(mailbox: Mailbox | None) -> str:
    """Give the domain in A-labels; an empty string where there is none that DNS could have."""
    if mailbox is None:
        return ""
    try:
        return mailbox.ascii_domain
    except AddressError:
        return ""


def find_author(message: Message, name: str = "From") -> Author:
    """Read From, or another field of its form. Never raises."""
    field = message.get(name)
    if field is None:
        return Author()
    value = field.value[:_MAX_VALUE]
    match = _NAME.fullmatch(field.text[:_MAX_VALUE])
    shown = decode_value(match.group(1).encode("utf-8", "replace")) if match else ""
    addresses = find_addresses(field.text[:_MAX_VALUE])
    if not match and not addresses:
        shown = decode_value(value)
    return Author(shown.strip().strip("\"'").strip(), addresses[0] if addresses else None)


def proven_by(method: Literal["dkim", "spf"], transaction: Transaction) -> frozenset[str]:
    """Give the domains, in lower case, that a method has proven: d= of good DKIM signatures, or the domain of the
    envelope sender where SPF passes."""
    key = "header.d" if method == "dkim" else "smtp.mailfrom"
    return frozenset(
        value.rpartition("@")[2].lower()
        for result in transaction.auth
        if result.method == method and result.result == "pass"
        for name, value in result.properties
        if name == key
    )


def proven_domains(transaction: Transaction) -> frozenset[str]:
    """Give the domains that a signature or SPF has proven."""
    return proven_by("dkim", transaction) | proven_by("spf", transaction)


def is_proven(domain: str, transaction: Transaction) -> bool:
    """Whether the transaction proves that it is from a domain: a domain of the same registration has signed it or sent
    it (RFC 9989 3.2.10.1, relaxed alignment), or DMARC has passed for it."""
    registered = registered_domain(domain)
    if any(registered_domain(proven) == registered for proven in proven_domains(transaction)):
        return True
    return any(
        result.method == "dmarc" and result.result == "pass" and ("header.from", domain) in result.properties
        for result in transaction.auth
    )
