"""Reads reports that others wrote, whatever they are packed in."""

from __future__ import annotations

from collections.abc import Iterator

from mailgw.reports.aggregate import AggregateReport
from mailgw.reports.aggregate_reader import read_aggregate
from mailgw.reports.arf import ArfRefused, FeedbackReport, read_arf
from mailgw.reports.safe_xml import XmlRefused
from mailgw.reports.tls_report import TlsReport, TlsReportRefused, read_tls_report
from mailgw.reports.unpack import Found, UnpackError, unpack

Report = AggregateReport | TlsReport | FeedbackReport


class ReportRefused(ValueError):
    """What looked like a report cannot be read; the text says why."""


def read_reports(data: bytes) -> Iterator[Report]:
    """Give the reports in a message, an archive, or a report as it is; none where there is none.

    Takes seconds at worst: run it in a thread. Raises ReportRefused for the first that cannot be read.
    """
    try:
        for found in unpack(data):
            yield _read(found)
    except (UnpackError, XmlRefused, TlsReportRefused, ArfRefused) as error:
        raise ReportRefused(str(error)) from None


def _read(found: Found) -> Report:
    if found.kind == "xml":
        return read_aggregate(found.data)
    if found.kind == "json":
        return read_tls_report(found.data)
    return read_arf(found.data, found.headers)
