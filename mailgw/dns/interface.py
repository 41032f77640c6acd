"""The interface of the resolver: what senderauth, filters and delivery see of DNS."""

from __future__ import annotations

from typing import Literal, Protocol

from attrs import frozen

from mailgw.mail.reply import TemporaryFailure

RecordType = Literal["A", "AAAA", "MX", "TXT", "PTR", "CNAME", "NS", "TLSA", "SOA"]


class DnsFailure(TemporaryFailure):
    """SERVFAIL, REFUSED, no answer in time, or an answer that cannot be read: not the same as 'no record'."""


@frozen
class MxRecord:
    preference: int
    exchange: str


@frozen
class TlsaRecord:
    usage: int
    selector: int
    matching: int
    data: bytes


Record = str | bytes | MxRecord | TlsaRecord
"""A and AAAA: the address as text. PTR, CNAME, NS, SOA: a name without the final dot. TXT: the strings joined,
as bytes. The root, such as the exchange of a null MX (RFC 7505), is the empty string."""


@frozen
class Answer:
    """The records of the type asked for (behind CNAMEs), in the server's order. Empty when there are none.

    `exists` is False for NXDOMAIN. `authenticated` is the AD bit of a server that we trust. `ttl` in seconds.
    `alias_of` is where the aliases lead when the name asked for is one; else empty.
    """

    records: tuple[Record, ...] = ()
    exists: bool = True
    authenticated: bool = False
    ttl: int = 0
    alias_of: str = ""


class Resolver(Protocol):
    async def lookup(self, name: str, type: RecordType) -> Answer:
        """Ask. `name` without the final dot. Raises DnsFailure; never takes longer than its configured deadline."""
        ...
