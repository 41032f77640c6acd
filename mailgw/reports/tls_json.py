"""A TLS report as JSON (RFC 8460 4.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mailgw.reports.tls_report import TlsFailure, TlsPolicy, TlsReport


def to_json(report: TlsReport) -> bytes:
    """Write it in I-JSON (RFC 7493): UTF-8, no name twice. What is empty is left out, where it may be."""
    value = {
        "organization-name": report.org_name,
        "date-range": {"start-datetime": _moment(report.begin), "end-datetime": _moment(report.end)},
        "contact-info": report.contact,
        "report-id": report.report_id,
        "policies": [_policy(policy) for policy in report.policies],
    }
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n"


def _policy(policy: TlsPolicy) -> Mapping[str, Any]:
    what: dict[str, Any] = {"policy-type": policy.type}
    if policy.strings:
        what["policy-string"] = policy.strings
    what["policy-domain"] = policy.domain
    if policy.mx_hosts:
        what["mx-host"] = policy.mx_hosts
    value: dict[str, Any] = {
        "policy": what,
        "summary": {
            "total-successful-session-count": policy.successes,
            "total-failure-session-count": policy.failures,
        },
    }
    if policy.details:
        value["failure-details"] = [_failure(failure) for failure in policy.details]
    return value


def _failure(failure: TlsFailure) -> Mapping[str, Any]:
    value = {
        "result-type": failure.result_type,
        "sending-mta-ip": failure.sending_mta_ip,
        "receiving-mx-hostname": failure.receiving_mx_hostname,
        "receiving-mx-helo": failure.receiving_mx_helo,
        "receiving-ip": failure.receiving_ip,
        "failed-session-count": failure.sessions,
        "additional-information": failure.additional_information,
        "failure-reason-code": failure.reason_code,
    }
    return {name: item for name, item in value.items() if item != ""}


def _moment(seconds: int) -> str:
    """RFC 3339 5.6."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
