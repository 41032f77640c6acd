"""Doubles for what the packages take as interfaces: DNS that answers from a table."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Literal

from twisted.internet.defer import Deferred

from mailgw.dns.interface import Answer, DnsFailure, MxRecord, Record, RecordType

Fail = Literal["FAIL"]
FAIL: Fail = "FAIL"
Zone = Mapping[str, Mapping[str, Sequence[object]] | Fail]

MAX_CNAMES = 8


class FakeResolver:
    """A dns.interface.Resolver that answers from `zone`: name -> type -> records.

    Names are compared in lower case, without a final dot. A name that is not there does not exist (NXDOMAIN); one
    that is there without the type has no records of it. `FAIL` in place of the types, or of the records of one
    type, raises DnsFailure. CNAME records are followed. Records are written as the interface gives them, or
    shorter: a TXT as str, an MX as (preference, exchange).

        FakeResolver({
            "example.org": {"TXT": ["v=spf1 mx -all"], "MX": [(10, "mx.example.org")]},
            "mx.example.org": {"A": ["192.0.2.1"]},
            "broken.example": FAIL,
            "half.example": {"A": ["192.0.2.2"], "TXT": FAIL},
        })

    With `silent` set, or for a name in `silent_names`, nothing is answered, ever. `asked` lists each question.
    With `authenticated` set, answers are as from DNSSEC, but for names in `insecure`, and what aliases have to do with
    them.
    """

    def __init__(self, zone: Zone | None = None, *, authenticated: bool = False, ttl: int = 300) -> None:
        self.zone: dict[str, Mapping[str, Sequence[object]] | Fail] = {}
        self.authenticated = authenticated
        self.ttl = ttl
        self.silent = False
        self.silent_names: set[str] = set()
        self.insecure: set[str] = set()
        self.asked: list[tuple[str, RecordType]] = []
        for name, types in (zone or {}).items():
            self.set(name, types)

    def set(self, name: str, types: Mapping[str, Sequence[object]] | Fail) -> None:
        """Put a name into the table, in place of what it had."""
        self.zone[_key(name)] = types

    async def lookup(self, name: str, type: RecordType) -> Answer:
        key = _key(name)
        self.asked.append((key, type))
        if self.silent or key in self.silent_names:
            await Deferred()
        authenticated = self.authenticated
        for hop in range(MAX_CNAMES):
            authenticated = authenticated and key not in self.insecure
            types = self.zone.get(key)
            if types is None:
                return Answer(exists=False, authenticated=authenticated, ttl=self.ttl, alias_of=key if hop else "")
            records = types if types == FAIL else types.get(type, ())
            if records == FAIL:
                raise DnsFailure(f"{type} {key}: SERVFAIL")
            if not records and types != FAIL and type != "CNAME" and (alias := types.get("CNAME")):
                key = _key(str(alias[0]))
                continue
            answers = tuple(_record(type, record) for record in records)
            return Answer(answers, authenticated=authenticated, ttl=self.ttl, alias_of=key if hop else "")
        raise DnsFailure(f"{type} {name}: more than {MAX_CNAMES} CNAMEs")


def reverse_name(address: str) -> str:
    """Give the name of an address's PTR records: `1.2.0.192.in-addr.arpa`."""
    return ipaddress.ip_address(address).reverse_pointer


def _key(name: str) -> str:
    return name.lower().rstrip(".")


def _record(type: str, record: object) -> Record:
    if type == "TXT" and isinstance(record, str):
        return record.encode()
    if type == "MX" and isinstance(record, tuple):
        preference, exchange = record
        return MxRecord(preference, exchange)
    return record  # type: ignore[return-value]  # the test wrote it as the interface has it
