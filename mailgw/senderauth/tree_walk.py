"""The DNS Tree Walk (RFC 9989 4.10): which record applies to a domain, and to which organisation it belongs."""

from __future__ import annotations

from attrs import frozen

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.senderauth.dmarc_record import Record, find_record

MAX_QUERIES = 8


def targets(domain: str) -> list[str]:
    """Give the names whose records are looked at, in this order: at most 8 (RFC 9989 4.10, steps 3, 4 and 7)."""
    labels = domain.split(".")
    above = labels[1:] if len(labels) < MAX_QUERIES else labels[1 - MAX_QUERIES :]
    return [domain, *(".".join(above[n:]) for n in range(len(above)))]


@frozen
class Applicable:
    """The record that applies to a domain, and the domain that has it (the DMARC Policy Domain)."""

    domain: str
    record: Record


class TreeWalk:
    """The walks of one check. Each name is asked for once; domains are in lower-case A-labels.

    Its methods raise DnsFailure when DNS does not answer: that is never the same as no record.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._records: dict[str, Record | DnsFailure | None] = {}
        self._walks: dict[str, dict[str, Record]] = {}
        self._existing: set[str] = set()

    async def find(self, domain: str) -> Applicable | None:
        """Find the record for an Author Domain (RFC 9989 4.10.1): its own, its Organizational Domain's, its PSD's."""
        own = await self._record(domain)
        if own is not None:
            return Applicable(domain, own)
        organizational = await self.organizational_domain(domain)
        found = await self._walk(domain)
        if organizational in found:
            return Applicable(organizational, found[organizational])
        # Then the walk ended at a PSD, or found nothing.
        return next((Applicable(name, record) for name, record in found.items() if record.psd == "y"), None)

    async def organizational_domain(self, domain: str) -> str:
        """Give the Organizational Domain (RFC 9989 4.10.2): the domain itself or one above it."""
        found = await self._walk(domain)
        for name, record in found.items():
            if record.psd == "n":
                return name
            if record.psd == "y" and name != domain:
                # One label more than the public suffix has.
                return ".".join(domain.split(".")[-name.count(".") - 2 :])
        return next(reversed(found), domain)

    async def exists(self, domain: str) -> bool:
        """Tell whether the name exists (RFC 9989 3.2.13 and A.4: its answer is not NXDOMAIN)."""
        if domain in self._existing:
            return True
        # With this type, an alias that leads nowhere is not followed, and is what it is: a name that exists.
        return (await self._resolver.lookup(domain, "CNAME")).exists

    async def _walk(self, domain: str) -> dict[str, Record]:
        """Give the records that the walk finds, from the longest name to the shortest."""
        if domain in self._walks:
            return self._walks[domain]
        found: dict[str, Record] = {}
        for name in targets(domain):
            record = await self._record(name)
            if record is not None:
                found[name] = record
                if record.psd != "u":
                    break
        self._walks[domain] = found
        return found

    async def _record(self, domain: str) -> Record | None:
        if domain not in self._records:
            try:
                answer = await self._resolver.lookup(f"_dmarc.{domain}", "TXT")
            except DnsFailure as failure:
                self._records[domain] = failure
            else:
                self._records[domain] = find_record(answer.records)
                if answer.exists:  # RFC 8020: above a name that exists, all exist
                    self._existing.add(domain)
        record = self._records[domain]
        if isinstance(record, DnsFailure):
            raise DnsFailure(record.cause)  # a new one: each raising adds to its traceback
        return record
