"""Questions and answers as DNS writes them (RFC 1035, RFC 6891), by dnspython's codec. No I/O."""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from attrs import evolve, frozen

from mailgw.dns.interface import Answer, DnsFailure, MxRecord, Record, RecordType, TlsaRecord

# The largest datagram that is not fragmented on any usual path (DNS flag day 2020).
UDP_PAYLOAD = 1232
MAX_TTL = 86400
# RFC 2308 5: one to three hours for what does not exist.
MAX_NEGATIVE_TTL = 3600
MAX_ALIASES = 8
_HEADER = 12


@frozen
class Query:
    """A question on its way: the message that was made, and its octets."""

    message: dns.message.Message
    wire: bytes


@frozen
class Alias:
    """The answer ends in a CNAME to `target` without its records: ask for those. `ttl` is that of the chain so far."""

    target: dns.name.Name
    ttl: int
    authenticated: bool
    hops: int

    def followed_by(self, answer: Answer) -> Answer:
        """Give the answer about `target` as one about the name that was asked for first."""
        return evolve(
            answer,
            authenticated=answer.authenticated and self.authenticated,
            ttl=min(answer.ttl, self.ttl),
            alias_of=answer.alias_of or _host(self.target),
        )


class ServerFailure(Exception):
    """This server cannot answer; another may."""


class ServerAway(ServerFailure):
    """Nobody is there: this says nothing about the question."""


class NoExtensions(Exception):
    """This server does not know EDNS: ask it without (RFC 6891 7)."""


def parse_name(text: str) -> dns.name.Name | None:
    """Take a name as mail has it, without the master file's escapes; None when DNS can have no such name."""
    try:
        labels = text.removesuffix(".").encode("ascii").split(b".")
        if not all(labels):
            return None
        return dns.name.Name([*labels, b""])
    except (UnicodeEncodeError, dns.exception.DNSException):
        return None


def encode_query(name: dns.name.Name, type: RecordType, id: int, *, edns: bool = True) -> Query:
    """Make a recursive question. The AD bit asks for the answer's (RFC 6840 5.7), without the weight of DNSSEC's
    records."""
    message = dns.message.make_query(
        name,
        dns.rdatatype.from_text(type),
        use_edns=0 if edns else False,
        payload=UDP_PAYLOAD,
        id=id,
        flags=dns.flags.RD | dns.flags.AD,
    )
    return Query(message, message.to_wire())


def decode_response(data: bytes, query: Query) -> dns.message.Message | None:
    """Read a response; None when it is garbage or not to this question (id, question and opcode are compared).

    Raises ServerFailure when it is to this question and holds what cannot be read: waiting for another is no use.
    """
    try:
        response = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=False)
        return response if query.message.is_response(response) else None
    except (dns.exception.DNSException, ValueError):
        question = query.wire[_HEADER : _HEADER + len(query.message.question[0].name.to_wire() or b"") + 4]
        if data[:2] == query.wire[:2] and data[_HEADER : _HEADER + len(question)] == question:
            raise ServerFailure("its answer cannot be read") from None
        return None


def is_truncated(response: dns.message.Message) -> bool:
    return bool(response.flags & dns.flags.TC)


def read_response(response: dns.message.Message, type: RecordType, *, trusted: bool, hops: int = 0) -> Answer | Alias:
    """Give what the response says, behind CNAMEs.

    Raises ServerFailure for SERVFAIL, REFUSED and the like, NoExtensions, and DnsFailure for too many CNAMEs.
    `hops` counts the CNAMEs before this response.
    """
    rcode = response.rcode()
    if rcode in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS):
        raise NoExtensions(dns.rcode.to_text(rcode))
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ServerFailure(dns.rcode.to_text(rcode))
    authenticated = trusted and bool(response.flags & dns.flags.AD)
    wanted = dns.rdatatype.from_text(type)
    name = response.question[0].name if response.question else dns.name.root
    ttl = MAX_TTL
    asked = name
    while True:
        records = _find(response, name, wanted)
        if records:
            ttl = min(ttl, records.ttl)
            alias_of = _host(name) if name != asked else ""
            return Answer(tuple(map(_record, records)), authenticated=authenticated, ttl=ttl, alias_of=alias_of)
        alias = _find(response, name, dns.rdatatype.CNAME)
        if not alias:
            break
        hops += 1
        if hops > MAX_ALIASES:
            raise DnsFailure(f"{type} {asked}: more than {MAX_ALIASES} CNAMEs, or a loop")
        name, ttl = alias[0].target, min(ttl, alias.ttl)
    exists = rcode == dns.rcode.NOERROR
    negative_ttl = _negative_ttl(response)
    # The chain left what this server told: a full resolver gives the end of it, others must be asked for it.
    if exists and name != asked and negative_ttl is None:
        return Alias(name, ttl, authenticated, hops)
    alias_of = _host(name) if name != asked else ""
    return Answer(exists=exists, authenticated=authenticated, ttl=min(ttl, negative_ttl or 0), alias_of=alias_of)


def _find(response: dns.message.Message, name: dns.name.Name, type: dns.rdatatype.RdataType) -> dns.rrset.RRset | None:
    return response.get_rrset(response.answer, name, dns.rdataclass.IN, type)


def _negative_ttl(response: dns.message.Message) -> int | None:
    """RFC 2308 5: the lesser of the SOA's TTL and its minimum; None without an SOA: then it is not to be cached."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(rrset.ttl, int(rrset[0].minimum), MAX_NEGATIVE_TTL)
    return None


def _record(record: dns.rdata.Rdata) -> Record:
    """Give a record as the interface has it. Names are in lower case, and their odd octets escaped."""
    match record.rdtype:
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            return str(record.address)  # type: ignore[attr-defined]  # dnspython types the base class only
        case dns.rdatatype.TXT:
            return b"".join(record.strings)  # type: ignore[attr-defined]
        case dns.rdatatype.MX:
            return MxRecord(record.preference, _host(record.exchange))  # type: ignore[attr-defined]
        case dns.rdatatype.SOA:
            return _host(record.mname)  # type: ignore[attr-defined]
        case dns.rdatatype.TLSA:
            return TlsaRecord(
                record.usage,  # type: ignore[attr-defined]
                record.selector,  # type: ignore[attr-defined]
                record.mtype,  # type: ignore[attr-defined]
                record.cert,  # type: ignore[attr-defined]
            )
        case _:
            return _host(record.target)  # type: ignore[attr-defined]


def _host(name: dns.name.Name) -> str:
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()
