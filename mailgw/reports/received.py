"""What others report about us: kept by report, added up by source."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator

import attrs
import cattrs
from attrs import frozen

from mailgw.reports.aggregate import AggregateReport
from mailgw.reports.facts import facts_of
from mailgw.reports.reading import Report
from mailgw.reports.tls_report import TlsPolicy, TlsReport

_MAX_NAME = 255
# What a table shows of the reporters of one source.
_MAX_REPORTERS = 50


@frozen
class Source:
    """What was reported of one address that sent mail in the name of a domain. `disposition` counts by its word."""

    domain: str
    address: str
    messages: int
    passed: int
    dkim: int
    spf: int
    quarantined: int
    rejected: int
    reporters: tuple[str, ...]


@frozen
class TlsSummary:
    """Sessions to a domain of ours under one kind of policy; `failures` by their result type (RFC 8460 4.3)."""

    domain: str
    policy: str
    successes: int
    failed: int
    failures: tuple[tuple[str, int], ...]
    reporters: tuple[str, ...]


@frozen
class Complaints:
    """Feedback reports of one type about mail from one address."""

    domain: str
    type: str
    address: str
    incidents: int


def store(connection: sqlite3.Connection, report: Report, now: float) -> bool:
    """Keep a report; False when it is there already (RFC 9990 "Handling of Duplicates")."""
    kind, reporter, report_id, domain, begin, end = _identity(report, now)
    cursor = connection.execute(
        "INSERT OR IGNORE INTO received (kind, reporter, report_id, domain, begins, ends, stored)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kind, reporter[:_MAX_NAME], report_id[:_MAX_NAME], domain[:_MAX_NAME], begin, end, now),
    )
    if not cursor.rowcount:
        return False
    number = cursor.lastrowid
    connection.executemany(
        "INSERT INTO received_row VALUES (?, ?, ?, ?, ?)", ((number, n, *row) for n, row in enumerate(_rows(report)))
    )
    return True


def _identity(report: Report, now: float) -> tuple[str, str, str, str, int, int]:
    """Give kind, reporter, report id, domain, begin and end."""
    if isinstance(report, AggregateReport):
        reporter = report.org_name or report.email
        return "dmarc", reporter, report.report_id, report.published.domain, report.begin, report.end or int(now)
    if isinstance(report, TlsReport):
        domain = next((policy.domain for policy in report.policies if policy.domain), "")
        return "tls", report.org_name, report.report_id, domain, report.begin, report.end or int(now)
    # Feedback reports have no identifier: what says the same is the same. Whom it is about is not kept.
    text = json.dumps(sorted(report.fields.items())) + report.headers
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    moment = report.arrival or int(now)
    return "arf", report.user_agent, digest, next(iter(report.domains), ""), report.arrival, moment


def _rows(report: Report) -> Iterator[tuple[str, int, str]]:
    """Give source, count and facts of each row."""
    if isinstance(report, AggregateReport):
        for record in report.records:
            yield record.source_ip, record.count, facts_of(record)
    elif isinstance(report, TlsReport):
        for policy in report.policies:
            yield "", policy.successes + policy.failures, json.dumps(attrs.asdict(policy))
    else:
        facts = {"type": report.feedback_type, "auth_failure": report.field("auth-failure")}
        yield report.source_ip, report.incidents, json.dumps(facts)


def sum_dmarc(connection: sqlite3.Connection, since: float, domain: str = "") -> list[Source]:
    """Add up what reports on `since` and later say, by domain (all when it is empty) and source, the most first."""
    rows = connection.execute(
        """
        SELECT r.domain, w.source, sum(w.count),
            sum(w.count * (json_extract(facts, '$.dkim') = 'pass' OR json_extract(facts, '$.spf') = 'pass')),
            sum(w.count * (json_extract(facts, '$.dkim') = 'pass')),
            sum(w.count * (json_extract(facts, '$.spf') = 'pass')),
            sum(w.count * (json_extract(facts, '$.disposition') = 'quarantine')),
            sum(w.count * (json_extract(facts, '$.disposition') = 'reject')),
            json_group_array(DISTINCT r.reporter)
        FROM received r JOIN received_row w ON w.report = r.id
        WHERE r.kind = 'dmarc' AND r.ends >= ? AND (? = '' OR r.domain = ?)
        GROUP BY r.domain, w.source ORDER BY r.domain, sum(w.count) DESC, w.source
        """,
        (since, domain, domain),
    )
    return [
        Source(domain, address, messages, passed, dkim, spf, quarantined, rejected, _reporters(names))
        for domain, address, messages, passed, dkim, spf, quarantined, rejected, names in rows
    ]


def sum_tls(connection: sqlite3.Connection, since: float, domain: str = "") -> list[TlsSummary]:
    """The same for TLS reports, by domain and kind of policy."""
    rows = connection.execute(
        "SELECT r.domain, r.reporter, w.facts FROM received r JOIN received_row w ON w.report = r.id"
        " WHERE r.kind = 'tls' AND r.ends >= ?",
        (since,),
    )
    found: dict[tuple[str, str], list[tuple[str, TlsPolicy]]] = {}
    for default, reporter, facts in rows:
        policy = cattrs.structure(json.loads(facts), TlsPolicy)
        key = (policy.domain or default, policy.type)
        if not domain or key[0] == domain:
            found.setdefault(key, []).append((reporter, policy))
    return [_tls_summary(*key, found[key]) for key in sorted(found)]


def _tls_summary(domain: str, kind: str, seen: list[tuple[str, TlsPolicy]]) -> TlsSummary:
    failures: dict[str, int] = {}
    for _, policy in seen:
        for detail in policy.details:
            failures[detail.result_type] = failures.get(detail.result_type, 0) + detail.sessions
    return TlsSummary(
        domain,
        kind,
        sum(policy.successes for _, policy in seen),
        sum(policy.failures for _, policy in seen),
        tuple(sorted(failures.items(), key=lambda item: (-item[1], item[0]))),
        tuple(sorted({reporter for reporter, _ in seen})[:_MAX_REPORTERS]),
    )


def sum_complaints(connection: sqlite3.Connection, since: float, domain: str = "") -> list[Complaints]:
    """The same for feedback reports."""
    rows = connection.execute(
        "SELECT r.domain, json_extract(facts, '$.type'), w.source, sum(w.count) FROM received r"
        " JOIN received_row w ON w.report = r.id"
        " WHERE r.kind = 'arf' AND r.ends >= ? AND (? = '' OR r.domain = ?)"
        " GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3",
        (since, domain, domain),
    )
    return [Complaints(*row) for row in rows]


def number_stored(connection: sqlite3.Connection, since: float) -> int:
    """Count the reports that were stored at `since` or later."""
    number: int
    (number,) = connection.execute("SELECT count(*) FROM received WHERE stored >= ?", (since,)).fetchone()
    return number


def forget(connection: sqlite3.Connection, before: float) -> None:
    """Drop what was stored before that moment (seconds): what somebody reads now is kept, however old it is."""
    old = "SELECT id FROM received WHERE stored < ?"
    connection.execute(f"DELETE FROM received_row WHERE report IN ({old})", (before,))
    connection.execute("DELETE FROM received WHERE stored < ?", (before,))


def _reporters(names: str) -> tuple[str, ...]:
    return tuple(sorted(json.loads(names))[:_MAX_REPORTERS])
