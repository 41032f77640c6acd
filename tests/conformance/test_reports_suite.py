"""Reports of others: DMARC aggregate reports, ARF and TLS-RPT, each read and compared with its expected JSON.

Another suite of the same shape only needs its files there: a report, and beside it a .json of the same name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mailgw.reports.aggregate import AggregateReport, Record
from mailgw.reports.arf import FeedbackReport
from mailgw.reports.reading import Report, ReportRefused, read_reports
from mailgw.reports.tls_report import TlsFailure, TlsPolicy, TlsReport
from tests.conformance.suites import SUITES, skip_reason

# The expected JSON writes words of the schema as names, and has a name for what is not there.
UNSPECIFIED = "Unspecified"


def name(word: str) -> str:
    return "".join(part.capitalize() for part in word.replace("_", "-").split("-")) or UNSPECIFIED


def aggregate(report: AggregateReport) -> dict[str, Any]:
    """As the suite has it. `version_published` and extensions are nothing that RFC 9990 wants read."""
    published = report.published
    return {
        "version": float(report.version or 0),
        "report_metadata": {
            "org_name": report.org_name,
            "email": report.email,
            "extra_contact_info": report.extra_contact_info or None,
            "report_id": report.report_id,
            "date_range": {"begin": report.begin, "end": report.end},
            "error": list(report.errors),
            "generator": report.generator or None,
        },
        "policy_published": {
            "domain": published.domain,
            "adkim": {"r": "Relaxed", "s": "Strict"}.get(published.adkim, UNSPECIFIED),
            "aspf": {"r": "Relaxed", "s": "Strict"}.get(published.aspf, UNSPECIFIED),
            "p": name(published.p),
            "sp": name(published.sp),
            "np": name(published.np),
            "testing": published.testing == "y",
            "discovery_method": name(published.discovery_method),
            "fo": published.fo or None,
        },
        "record": [record(item) for item in report.records],
    }


def record(item: Record) -> dict[str, Any]:
    results: dict[str, Any] = {
        "dkim": [
            {
                "domain": seen.domain,
                "selector": seen.selector,
                "result": result(seen.result),
                "human_result": seen.human_result or None,
            }
            for seen in item.dkim_seen
        ],
        "spf": [
            {
                "domain": seen.domain,
                "scope": {"mfrom": "MailFrom", "helo": "Helo"}.get(seen.scope, UNSPECIFIED),
                "result": result(seen.result),
                "human_result": seen.human_result or None,
            }
            for seen in item.spf_seen
        ],
    }
    return {
        "row": {
            "source_ip": item.source_ip,
            "count": item.count,
            "policy_evaluated": {
                "disposition": name(item.disposition),
                "dkim": name(item.dkim),
                "spf": name(item.spf),
                "reason": [{"type_": name(r.type), "comment": r.comment or None} for r in item.reasons],
            },
        },
        "identifiers": {
            "envelope_to": item.envelope_to or None,
            "envelope_from": item.envelope_from,
            "header_from": item.header_from,
        },
        "auth_results": results,
    }


def result(word: str) -> str:
    return {"softfail": "SoftFail", "temperror": "TempError", "permerror": "PermError"}.get(word) or name(word)


def arf(report: FeedbackReport) -> dict[str, Any]:
    def field(key: str) -> str | None:
        return report.field(key) or None

    return {
        "feedback_type": name(report.feedback_type),
        "arrival_date": report.arrival or None,
        "authentication_results": list(report.fields.get("authentication-results", ())),
        "incidents": report.incidents,
        "original_envelope_id": field("original-envelope-id"),
        "original_mail_from": field("original-mail-from"),
        "original_rcpt_to": field("original-rcpt-to"),
        "reported_domain": list(report.domains),
        "reported_uri": list(report.fields.get("reported-uri", ())),
        "reporting_mta": report.field("reporting-mta").rpartition(";")[2].strip() or None,
        "source_ip": report.source_ip or None,
        "user_agent": report.user_agent or None,
        "version": int(report.field("version") or 0),
        "auth_failure": {"bodyhash": "BodyHash"}.get(report.field("auth-failure"))
        or name(report.field("auth-failure")),
        "dkim_canonicalized_body": field("dkim-canonicalized-body"),
        "dkim_domain": field("dkim-domain"),
        "dkim_identity": field("dkim-identity"),
        "dkim_selector": field("dkim-selector"),
        "headers": report.headers or None,
    }


def tls(report: TlsReport) -> dict[str, Any]:
    return {
        "organization-name": report.org_name,
        "date-range": {"start-datetime": report.begin, "end-datetime": report.end},
        "contact-info": report.contact,
        "report-id": report.report_id,
        "policies": [tls_policy(policy) for policy in report.policies],
    }


def tls_policy(policy: TlsPolicy) -> dict[str, Any]:
    return {
        "policy": {
            "policy-type": policy.type,
            "policy-string": list(policy.strings),
            "policy-domain": policy.domain,
            "mx-host": list(policy.mx_hosts),
        },
        "summary": {
            "total-successful-session-count": policy.successes,
            "total-failure-session-count": policy.failures,
        },
        "failure-details": [tls_failure(failure) for failure in policy.details],
    }


def tls_failure(failure: TlsFailure) -> dict[str, Any]:
    return {
        "result-type": failure.result_type,
        "failed-session-count": failure.sessions,
        "sending-mta-ip": failure.sending_mta_ip,
        "receiving-mx-hostname": failure.receiving_mx_hostname,
        "receiving-ip": failure.receiving_ip,
        "receiving-mx-helo": failure.receiving_mx_helo,
        "additional-information": failure.additional_information,
        "failure-reason-code": failure.reason_code,
    }


def differences(expected: Any, got: Any, place: str = "") -> list[str]:
    """Say where what was read is not what is expected. What is expected to be empty may be missing in the other."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return [
            line
            for key in expected.keys() | got.keys()
            if key not in ("version_published", "extensions", "message", "source_port", "delivery_result")
            for line in differences(expected.get(key), got.get(key), f"{place}.{key}")
        ]
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        return [
            line
            for n, pair in enumerate(zip(expected, got, strict=True))
            for line in differences(*pair, f"{place}[{n}]")
        ]
    if place.endswith("-datetime") and isinstance(expected, str):
        return [] if expected.startswith(_date(got)) else [f"{place}: {got} is not {expected}"]
    empty = (None, "", [], 0, UNSPECIFIED)
    if expected == got or (expected in empty and got in empty) or _same_text(expected, got):
        return []
    return [f"{place}: {got!r} is not {expected!r}"]


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _same_text(expected: object, got: object) -> bool:
    """Line ends of a header are no matter."""
    if not isinstance(expected, str) or not isinstance(got, str):
        return False
    return expected.replace("\r\n", "\n").rstrip("\n") == got.replace("\r\n", "\n").rstrip("\n")


class ReportSuiteTests(SynchronousTestCase):
    skip = skip_reason("reports/*/*.json")

    def compare(self, folder: str, translate: Callable[[Any], dict[str, Any]]) -> None:
        expectations = sorted(SUITES.glob(f"reports/{folder}/*.json"))
        wrong: dict[Path, list[str]] = {}
        for expectation in expectations:
            beside = [path for path in expectation.parent.glob(f"{expectation.stem}.*") if path != expectation]
            path = beside[0] if beside else expectation  # a TLS report is the JSON itself
            lines = differences(json.loads(expectation.read_bytes()), self.read(path, translate))
            if lines:
                wrong[path] = lines
        right = len(expectations) - len(wrong)
        print(f"\n    {folder}: {right} of {len(expectations)} reports are read as they are expected to be")
        self.assertEqual("\n".join(f"{path.name}{line}" for path, lines in wrong.items() for line in lines), "")
        self.assertGreater(right, 0)

    def read(self, path: Path, translate: Callable[[Report], dict[str, Any]]) -> Any:
        try:
            (report,) = read_reports(path.read_bytes())
        except ReportRefused as error:
            return str(error)
        return translate(report)

    def test_dmarc_aggregate_reports(self) -> None:
        self.compare("dmarc-feedback", aggregate)

    def test_arf(self) -> None:
        self.compare("arf", arf)

    def test_tls_reports(self) -> None:
        self.compare("tlsrpt", tls)
