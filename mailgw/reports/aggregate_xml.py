"""Writes an aggregate report as the XML of RFC 9990 "DMARC XML Schema"."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from mailgw.reports.aggregate import AggregateReport, DkimSeen, Record, SpfSeen

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
# XML 1.0 2.2: what may stand in a document.
_NO_CHAR = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_TEXT = 1000


def to_xml(report: AggregateReport) -> bytes:
    """Give the document. Takes about a second for 20,000 records: run it in a thread."""
    root = ElementTree.Element("feedback", xmlns=NAMESPACE)
    _add(root, "version", "1.0")
    metadata = _add(root, "report_metadata")
    _add(metadata, "org_name", report.org_name)
    _add(metadata, "email", report.email)
    _add_some(metadata, extra_contact_info=report.extra_contact_info)
    _add(metadata, "report_id", report.report_id)
    period = _add(metadata, "date_range")
    _add(period, "begin", str(report.begin))
    _add(period, "end", str(report.end))
    _add_some(metadata, error="; ".join(report.errors), generator=report.generator)
    published = report.published
    policy = _add(root, "policy_published")
    _add(policy, "domain", published.domain)
    _add(policy, "p", published.p)
    _add_some(
        policy,
        sp=published.sp,
        np=published.np,
        adkim=published.adkim,
        aspf=published.aspf,
        discovery_method=published.discovery_method,
        fo=published.fo,
        testing=published.testing,
    )
    for record in report.records:
        _add_record(root, record)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add_record(root: ElementTree.Element, record: Record) -> None:
    """The order is that of the schema's sequences."""
    element = _add(root, "record")
    row = _add(element, "row")
    _add(row, "source_ip", record.source_ip)
    _add(row, "count", str(record.count))
    evaluated = _add(row, "policy_evaluated")
    _add(evaluated, "disposition", record.disposition)
    _add(evaluated, "dkim", record.dkim)
    _add(evaluated, "spf", record.spf)
    for reason in record.reasons:
        given = _add(evaluated, "reason")
        _add(given, "type", reason.type)
        _add_some(given, comment=reason.comment)
    identifiers = _add(element, "identifiers")
    _add(identifiers, "header_from", record.header_from)
    _add(identifiers, "envelope_from", record.envelope_from)  # "may be existing but empty": the null reverse-path
    _add_some(identifiers, envelope_to=record.envelope_to)
    results = _add(element, "auth_results")
    for signature in record.dkim_seen:
        _add_dkim(results, signature)
    for spf in record.spf_seen[:1]:
        _add_spf(results, spf)


def _add_dkim(results: ElementTree.Element, seen: DkimSeen) -> None:
    element = _add(results, "dkim")
    _add(element, "domain", seen.domain)
    _add(element, "selector", seen.selector)
    _add(element, "result", seen.result)
    _add_some(element, human_result=seen.human_result)


def _add_spf(results: ElementTree.Element, seen: SpfSeen) -> None:
    element = _add(results, "spf")
    _add(element, "domain", seen.domain)
    _add_some(element, scope=seen.scope)
    _add(element, "result", seen.result)
    _add_some(element, human_result=seen.human_result)


def _add(parent: ElementTree.Element, name: str, text: str = "") -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    if text:
        element.text = _NO_CHAR.sub("?", text[:_MAX_TEXT])
    return element


def _add_some(parent: ElementTree.Element, **texts: str) -> None:
    """Add those that are not empty."""
    for name, text in texts.items():
        if text:
            _add(parent, name, text)
