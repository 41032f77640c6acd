"""A DMARC aggregate report (RFC 9990) as values: one of ours, or one that was read.

Texts are as in the XML, in lower case where the schema enumerates them; what a report leaves out is empty.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class DkimSeen:
    """The result for one signature (RFC 8601 2.7.1)."""

    domain: str
    selector: str
    result: str
    human_result: str = ""


@frozen
class SpfSeen:
    """The result of SPF (RFC 8601 2.7.2). `scope` is `mfrom`; reports of RFC 7489 may say `helo`."""

    domain: str
    result: str
    scope: str = ""
    human_result: str = ""


@frozen
class Reason:
    """Why the disposition is not what the domain asks for (RFC 9990 "Policy Override Reason")."""

    type: str
    comment: str = ""


@frozen
class Record:
    """So many messages from one address that came out alike. `dkim` and `spf` are `pass` where they are aligned."""

    source_ip: str
    count: int
    disposition: str
    dkim: str
    spf: str
    header_from: str
    envelope_from: str = ""
    envelope_to: str = ""
    reasons: tuple[Reason, ...] = ()
    dkim_seen: tuple[DkimSeen, ...] = ()
    spf_seen: tuple[SpfSeen, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether DMARC passed (RFC 9989 5.4: either of them is enough)."""
        return "pass" in (self.dkim, self.spf)


@frozen
class Published:
    """The policy of `domain` as the reporter saw it."""

    domain: str
    p: str
    sp: str = ""
    np: str = ""
    adkim: str = ""
    aspf: str = ""
    testing: str = ""
    discovery_method: str = ""
    fo: str = ""


@frozen
class AggregateReport:
    """`begin` and `end` are seconds since the epoch."""

    org_name: str
    email: str
    report_id: str
    begin: int
    end: int
    published: Published
    records: tuple[Record, ...]
    extra_contact_info: str = ""
    errors: tuple[str, ...] = ()
    generator: str = ""
    version: str = ""

    @property
    def messages(self) -> int:
        return sum(record.count for record in self.records)
