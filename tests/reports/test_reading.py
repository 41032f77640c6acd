"""Reports of strangers: however packed, and with every bound (features 4.9: 25 MB unpacked)."""

from __future__ import annotations

import gzip
import io
import zipfile
from email.message import EmailMessage

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.reports import aggregate_reader, safe_xml, unpack
from mailgw.reports.aggregate import AggregateReport
from mailgw.reports.aggregate_xml import to_xml
from mailgw.reports.arf import FeedbackReport
from mailgw.reports.reading import Report, ReportRefused, read_reports
from mailgw.reports.tls_report import TlsReport
from tests.reports.test_aggregate_xml import REPORT

XML = to_xml(REPORT)
TLS = b'{"organization-name": "x", "policies": [{"policy": {"policy-type": "sts", "policy-domain": "Example.org"}}]}'


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def mailed(data: bytes, subtype: str = "gzip", filename: str = "r.xml.gz") -> bytes:
    message = EmailMessage()
    message["From"] = "reports@reporter.example"
    message.set_content("<p>{This is a report.}</p>\n")
    message.add_attachment(data, "application", subtype, filename=filename)
    return message.as_bytes()


class PackingTests(SynchronousTestCase):
    def read(self, data: bytes) -> list[Report]:
        return list(read_reports(data))

    def test_each_way_that_reports_come(self) -> None:
        packed = gzip.compress(XML)
        for data in (
            XML,
            b"\xef\xbb\xbf" + XML,
            b"\n " + XML.partition(b"?>")[2],
            XML.decode().replace("utf-8", "utf-16").encode("utf-16"),
            packed,
            packed + b"\0\0\0",
            zipped(report=XML),
            zipped(report=packed),
            mailed(packed),
            mailed(packed).replace(b"\n", b"\r\n"),
            mailed(zipped(report=XML), "octet-stream", "report.zip"),
            mailed(XML, "octet-stream", "report.xml"),
        ):
            self.assertEqual(self.read(data), [REPORT], data[:40])

    def test_several_in_one(self) -> None:
        found = self.read(zipped(one=XML, other=TLS, readme=b"nothing"))
        self.assertEqual([type(report) for report in found], [AggregateReport, TlsReport])

    def test_what_is_no_report(self) -> None:
        for data in (b"", b"Subject: hello\r\n\r\n<b>Hello</b>\r\n", b"\x00\x01\x02", mailed(b"%PDF", "pdf", "x.pdf")):
            self.assertEqual(self.read(data), [])

    def test_a_feedback_report(self) -> None:
        data = (
            b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\n"
            b"Feedback-Type: Abuse\nSource-IP: 192.0.2.9\nIncidents: 3\nReported-Domain: Example.org\n\n--b--\n"
        )
        (report,) = self.read(data)
        assert isinstance(report, FeedbackReport)
        self.assertEqual((report.feedback_type, report.source_ip, report.incidents), ("abuse", "192.0.2.9", 3))
        self.assertEqual(report.domains, ("example.org",))


class HostileTests(SynchronousTestCase):
    def refused(self, data: bytes, reason: str) -> None:
        with self.assertRaises(ReportRefused) as caught:
            list(read_reports(data))
        self.assertIn(reason, str(caught.exception))

    def test_bombs(self) -> None:
        bomb = gzip.compress(b"<" + bytes(26 * 1024 * 1024))
        self.refused(bomb, "more than 26214400 octets")
        self.refused(zipped(a=b"<" + bytes(26 * 1024 * 1024)), "more than 26214400 octets")
        self.refused(zipped(a=bytes(13 * 1024 * 1024), b=bytes(13 * 1024 * 1024)), "more than 26214400 octets")
        self.refused(mailed(bomb), "more than 26214400 octets")

    def test_archives_in_archives(self) -> None:
        data = XML
        for _ in range(unpack.MAX_NESTED + 1):
            data = gzip.compress(data)
        self.refused(data, "archives in archives")

    def test_many_members(self) -> None:
        self.refused(zipped(**{f"m{n}": b"x" for n in range(unpack.MAX_MEMBERS + 1)}), "more than 100 files")

    def test_broken_archives(self) -> None:
        packed, archive = gzip.compress(XML), zipped(report=XML)
        self.refused(packed[:-20], "ends too early")
        self.refused(packed[:20] + b"\xff" * 20 + packed[40:], "broken")
        self.refused(archive[: len(archive) // 2], "not a zip file")
        encrypted = bytearray(archive)
        encrypted[archive.index(b"PK\x01\x02") + 8] |= 1
        self.refused(bytes(encrypted), "encrypted")

    def test_entities_are_not_expanded(self) -> None:
        laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
        for doctype in (
            f'<!DOCTYPE feedback [<!ENTITY l0 "ha">{laughs}]>',
            '<!DOCTYPE feedback [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE feedback SYSTEM "http://192.0.2.1/x.dtd">',
        ):
            body = XML.partition(b"?>")[2].replace(b"Example Organisation", b"&l9;&x;")
            self.refused(doctype.encode() + body, "document type")

    def test_deep_and_endless_xml(self) -> None:
        self.refused(b"<a>" * 100_000, "levels")
        self.refused(b"<feedback><record>" + b"<dkim/>" * 60_000, "too many in one")
        self.refused(b"<feedback>" + b"<dkim/>" * 60_000, "too many in one")
        self.patch(safe_xml, "MAX_ELEMENTS", 100)
        self.refused(b"<feedback>" + b"<a/>" * 200, "more than 100 elements")
        self.patch(aggregate_reader, "MAX_RECORDS", 5)
        self.refused(b"<feedback>" + b"<record/>" * 10, "more than 5 records")

    def test_many_records_are_read(self) -> None:
        record = XML[XML.index(b"<record>") : XML.index(b"</record>") + 9]
        (report,) = read_reports(XML.replace(record, record * 5000))
        assert isinstance(report, AggregateReport)
        self.assertEqual(len(report.records), 5001)

    def test_long_texts_are_cut(self) -> None:
        (report,) = read_reports(XML.replace(b"Example Organisation", b"x" * 1_000_000))
        assert isinstance(report, AggregateReport)
        self.assertEqual(report.org_name, "x" * 1000)

    def test_what_is_not_well_formed(self) -> None:
        self.refused(XML[:-20], "not well-formed")
        self.refused(b"<?xml version='1.0' encoding='klingon'?><feedback/>", "encoding")
        self.refused(b"<html><body>no report</body></html>", "no DMARC report")
        self.refused(b"<feedback/>", "names no domain")
        self.refused(b'{"policies": []}', "no TLS report")
        self.refused(b"{" * 100_000, "no JSON")
        self.refused(b'{"policies":[' + b"{}," * 200_000 + b"{}]}", "more than 200000 values")
        self.refused(b'{"a":' + b"[" * 100_000, "no JSON")

    def test_nonsense_in_a_report_is_nothing(self) -> None:
        data = XML.replace(b"<count>1<", b"<count>-7<").replace(b"<p>reject<", b"<p>explode<")
        (report,) = read_reports(data.replace(b"<disposition>pass<", b"<disposition>eaten<"))
        assert isinstance(report, AggregateReport)
        self.assertEqual((report.published.p, report.records[0].disposition, report.records[0].count), ("", "", 0))
        (tls,) = read_reports(b'{"policies": [7, {"policy": "x", "summary": {"total-failure-session-count": 1e999}}]}')
        assert isinstance(tls, TlsReport)
        self.assertEqual([policy.failures for policy in tls.policies], [0, 0])

    @given(st.sampled_from([XML, gzip.compress(XML), zipped(r=XML), mailed(XML), TLS]), st.data())
    def test_no_damage_raises_anything_else(self, data: bytes, draw: st.DataObject) -> None:
        broken = bytearray(data)
        for _ in range(draw.draw(st.integers(1, 8))):
            broken[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
        try:
            list(read_reports(bytes(broken)))
        except ReportRefused:
            pass
