"""Reads an aggregate report of others: of RFC 9990, of RFC 7489, and what is sent under their names."""

from __future__ import annotations

import re
from typing import TypeVar

from mailgw.reports.aggregate import AggregateReport, DkimSeen, Published, Reason, Record, SpfSeen
from mailgw.reports.safe_xml import Element, XmlRefused, parse_xml

MAX_RECORDS = 100_000
MAX_RESULTS = 100
"""Signatures of one record (RFC 9990 "DKIM Signatures in Aggregate Reports")."""
MAX_COUNT = 10**9
_MAX_MOMENT = 2**40
_MAX_VALUE = 1000
_NUMBER = re.compile(r"[0-9]{1,18}")
_DISPOSITIONS = ("none", "pass", "quarantine", "reject")
_POLICIES = ("none", "quarantine", "reject")
_REASONS = ("local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder")
_RESULTS = ("none", "pass", "fail", "softfail", "policy", "neutral", "temperror", "permerror")
# RFC 7489 and its drafts had others: what they are now.
_OLD = {"forwarded": "trusted_forwarder", "hardfail": "fail", "unknown": "permerror", "error": "temperror"}

T = TypeVar("T")


def read_aggregate(data: bytes) -> AggregateReport:
    """Read the XML. Raises XmlRefused where it is none, or not such a report.

    What is missing is empty; a word that the schema does not know is empty too, or `other` for a reason. Extensions are
    passed over (RFC 9990 "Extensible Reporting").
    """
    records: list[Record] = []

    def taken(element: Element) -> bool:
        if element.name != "record":
            return False
        if len(records) >= MAX_RECORDS:
            raise XmlRefused(f"it has more than {MAX_RECORDS} records")
        records.append(_record(element))
        return True

    root = parse_xml(data, taken)
    if root.name != "feedback":
        raise XmlRefused(f"it is no DMARC report: its root is {root.name[:40]!r}")
    metadata, policy = root.child("report_metadata"), root.child("policy_published")
    period = metadata.child("date_range")
    published = Published(
        _domain(policy, "domain"),
        _word(policy, "p", _POLICIES),
        _word(policy, "sp", _POLICIES),
        _word(policy, "np", _POLICIES),
        _word(policy, "adkim", ("r", "s")),
        _word(policy, "aspf", ("r", "s")),
        _word(policy, "testing", ("y", "n")),
        _word(policy, "discovery_method", ("psl", "treewalk")),
        _value(policy, "fo"),
    )
    if not published.domain or not records:
        raise XmlRefused("it names no domain" if not published.domain else "it has no record")
    return AggregateReport(
        _value(metadata, "org_name"),
        _value(metadata, "email"),
        _value(metadata, "report_id"),
        _number(period, "begin", _MAX_MOMENT),
        _number(period, "end", _MAX_MOMENT),
        published,
        tuple(records),
        _value(metadata, "extra_contact_info"),
        tuple(error.text.strip()[:_MAX_VALUE] for error in _some(metadata, "error")),
        _value(metadata, "generator"),
        _value(root, "version"),
    )


def _record(element: Element) -> Record:
    row, identifiers, results = element.child("row"), element.child("identifiers"), element.child("auth_results")
    evaluated = row.child("policy_evaluated")
    return Record(
        _value(row, "source_ip"),
        _number(row, "count", MAX_COUNT),
        _word(evaluated, "disposition", _DISPOSITIONS),
        _word(evaluated, "dkim", ("pass", "fail")),
        _word(evaluated, "spf", ("pass", "fail")),
        _domain(identifiers, "header_from"),
        _domain(identifiers, "envelope_from"),
        _domain(identifiers, "envelope_to"),
        tuple(
            Reason(_word(reason, "type", _REASONS) or "other", _value(reason, "comment"))
            for reason in _some(evaluated, "reason")
        ),
        tuple(
            DkimSeen(
                _domain(seen, "domain"),
                _value(seen, "selector"),
                _word(seen, "result", _RESULTS),
                _value(seen, "human_result"),
            )
            for seen in _some(results, "dkim")
        ),
        tuple(
            SpfSeen(
                _domain(seen, "domain"),
                _word(seen, "result", _RESULTS),
                _word(seen, "scope", ("mfrom", "helo")),
                _value(seen, "human_result"),
            )
            for seen in _some(results, "spf")
        ),
    )


def _some(element: Element, name: str) -> list[Element]:
    return list(element.all(name))[:MAX_RESULTS]


def _value(element: Element, name: str) -> str:
    return element.value(name)[:_MAX_VALUE]


def _domain(element: Element, name: str) -> str:
    return _value(element, name).lower().removesuffix(".")


def _word(element: Element, name: str, known: tuple[str, ...]) -> str:
    word = _value(element, name).lower()
    word = _OLD.get(word, word)
    return word if word in known else ""


def _number(element: Element, name: str, most: int) -> int:
    text = _value(element, name)
    return min(int(text), most) if _NUMBER.fullmatch(text) else 0
