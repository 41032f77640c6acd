"""TLS reports (RFC 8460 4) as values, read from their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

MAX_VALUES = 200_000
MAX_POLICIES = 1000
MAX_FAILURES = 10_000
MAX_STRINGS = 100
_MAX_VALUE = 1000
_MAX_COUNT = 10**9


class TlsReportRefused(ValueError):
    """It is no TLS report; the text says why."""


@frozen
class TlsFailure:
    """Sessions that failed in the same way (RFC 8460 4.3)."""

    result_type: str
    sessions: int
    sending_mta_ip: str = ""
    receiving_mx_hostname: str = ""
    receiving_ip: str = ""
    receiving_mx_helo: str = ""
    additional_information: str = ""
    reason_code: str = ""


@frozen
class TlsPolicy:
    """What was seen under one policy: `type` is `tlsa`, `sts`, `no-policy-found`, or what the reporter calls it."""

    type: str
    domain: str
    strings: tuple[str, ...]
    mx_hosts: tuple[str, ...]
    successes: int
    failures: int
    details: tuple[TlsFailure, ...]


@frozen
class TlsReport:
    """`begin` and `end` are seconds since the epoch, 0 where it does not say."""

    org_name: str
    contact: str
    report_id: str
    begin: int
    end: int
    policies: tuple[TlsPolicy, ...]


def read_tls_report(data: bytes) -> TlsReport:
    """Read the JSON. Raises TlsReportRefused."""
    if sum(map(data.count, (b"{", b"[", b","))) > MAX_VALUES:
        raise TlsReportRefused(f"it has more than {MAX_VALUES} values")
    try:
        report = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TlsReportRefused(f"it is no JSON: {error}") from None
    policies = report.get("policies") if isinstance(report, dict) else None
    if not isinstance(policies, list) or not policies:
        raise TlsReportRefused("it is no TLS report: it has no policies")
    period = _object(report.get("date-range"))
    return TlsReport(
        _text(report, "organization-name"),
        _text(report, "contact-info"),
        _text(report, "report-id"),
        _moment(period, "start-datetime"),
        _moment(period, "end-datetime"),
        tuple(_policy(_object(policy)) for policy in policies[:MAX_POLICIES]),
    )


def _policy(item: Mapping[str, Any]) -> TlsPolicy:
    policy, summary = _object(item.get("policy")), _object(item.get("summary"))
    return TlsPolicy(
        _text(policy, "policy-type"),
        _text(policy, "policy-domain").lower().removesuffix("."),
        _texts(policy.get("policy-string")),
        _texts(policy.get("mx-host")),
        _count(summary, "total-successful-session-count"),
        _count(summary, "total-failure-session-count"),
        tuple(_failure(_object(failure)) for failure in _list(item.get("failure-details"))[:MAX_FAILURES]),
    )


def _failure(item: Mapping[str, Any]) -> TlsFailure:
    return TlsFailure(
        _text(item, "result-type"),
        _count(item, "failed-session-count"),
        _text(item, "sending-mta-ip"),
        _text(item, "receiving-mx-hostname"),
        _text(item, "receiving-ip"),
        _text(item, "receiving-mx-helo"),
        _text(item, "additional-information"),
        _text(item, "failure-reason-code"),
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    return value[:_MAX_VALUE] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    """Some write one string in place of a list."""
    values = [value] if isinstance(value, str) else _list(value)
    return tuple(text[:_MAX_VALUE] for text in values[:MAX_STRINGS] if isinstance(text, str))


def _count(item: Mapping[str, Any], key: str) -> int:
    value = item.get(key)
    return min(value, _MAX_COUNT) if isinstance(value, int) and value > 0 else 0


def _moment(item: Mapping[str, Any], key: str) -> int:
    """RFC 3339 5.6."""
    try:
        return max(int(datetime.fromisoformat(_text(item, key)).timestamp()), 0)
    except (ValueError, OverflowError):
        return 0
