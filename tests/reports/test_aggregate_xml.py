"""The XML that we write, against the facts of the schema of RFC 9990, and read back by our own reader."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.reports.aggregate import AggregateReport, Published, Reason
from mailgw.reports.aggregate_reader import read_aggregate
from mailgw.reports.aggregate_xml import to_xml
from tests.reports.support import RECORD

REPORT = AggregateReport(
    "Example Organisation",
    "postmaster@example.org",
    "0123456789abcdef",
    1764201600,
    1764287999,
    Published("sender.example", "reject", "quarantine", "none", "r", "s", "n", "treewalk"),
    (RECORD, evolve(RECORD, source_ip="2001:db8::1", reasons=(Reason("local_policy"), Reason("other", "<&>")))),
    "https://example.org/",
    ("something",),
    "mailgw 0.1",
    "1.0",
)

# RFC 9990 "DMARC XML Schema": for each type its elements, in order for an xs:sequence, with how often each may stand
# (`1`, `?`, `*`, `+`). A value is the type of the element: a key here, words, or a pattern.
POLICY = "none|quarantine|reject"
TEXT = r"[^\0]*"
SCHEMA: dict[str, tuple[str, dict[str, str]]] = {
    "feedback": ("sequence", {"version": "? [0-9.]+", "report_metadata": "1", "policy_published": "1", "record": "+"}),
    "report_metadata": (
        "all",
        {
            "org_name": f"1 {TEXT}",
            "email": f"1 {TEXT}",
            "extra_contact_info": f"? {TEXT}",
            "report_id": f"1 {TEXT}",
            "date_range": "1",
            "error": f"? {TEXT}",
            "generator": f"? {TEXT}",
        },
    ),
    "date_range": ("all", {"begin": "1 [0-9]+", "end": "1 [0-9]+"}),
    "policy_published": (
        "all",
        {
            "domain": f"1 {TEXT}",
            "p": f"1 {POLICY}",
            "sp": f"? {POLICY}",
            "np": f"? {POLICY}",
            "adkim": "? r|s",
            "aspf": "? r|s",
            "discovery_method": "? psl|treewalk",
            "fo": f"? {TEXT}",
            "testing": "? n|y",
        },
    ),
    "record": ("sequence", {"row": "1", "identifiers": "1", "auth_results": "1"}),
    "row": ("all", {"source_ip": "1 [0-9a-f.:]+", "count": "1 [0-9]+", "policy_evaluated": "1"}),
    "policy_evaluated": (
        "sequence",
        {"disposition": "1 none|pass|quarantine|reject", "dkim": "1 pass|fail", "spf": "1 pass|fail", "reason": "*"},
    ),
    "reason": (
        "all",
        {"type": "1 local_policy|mailing_list|other|policy_test_mode|trusted_forwarder", "comment": f"? {TEXT}"},
    ),
    "identifiers": (
        "all",
        {"header_from": f"1 {TEXT}", "envelope_from": f"? {TEXT}", "envelope_to": f"? {TEXT}"},
    ),
    "auth_results": ("sequence", {"dkim": "*", "spf": "?"}),
    "dkim": (
        "all",
        {
            "domain": f"1 {TEXT}",
            "selector": f"1 {TEXT}",
            "result": "1 none|pass|fail|policy|neutral|temperror|permerror",
            "human_result": f"? {TEXT}",
        },
    ),
    "spf": (
        "all",
        {
            "domain": f"1 {TEXT}",
            "scope": "? mfrom",
            "result": "1 none|pass|fail|softfail|policy|neutral|temperror|permerror",
            "human_result": f"? {TEXT}",
        },
    ),
}
NAMESPACE = "{urn:ietf:params:xml:ns:dmarc-2.0}"


def violations(element: ElementTree.Element) -> list[str]:
    """Say where an element and what is below it do not keep to the schema."""
    name = element.tag.removeprefix(NAMESPACE)
    if name == element.tag:
        return [f"{name} is in no namespace, or in another"]
    order, children = SCHEMA[name]
    names = [child.tag.removeprefix(NAMESPACE) for child in element]
    found = [f"{name} has {other}" for other in names if other not in children]
    if order == "sequence" and names != sorted(names, key=list(children).index):
        found.append(f"the order in {name} is {names}")
    for child, facts in children.items():
        times, _, pattern = facts.partition(" ")
        if (
            not {"1": (1, 1), "?": (0, 1), "*": (0, 999), "+": (1, 999)}[times][0]
            <= names.count(child)
            <= (1 if times in "1?" else 999)
        ):
            found.append(f"{name} has {names.count(child)} {child}")
        for node in element.findall(NAMESPACE + child):
            if not pattern:
                found += violations(node)
            elif not re.fullmatch(pattern, node.text or "", re.S):
                found.append(f"{child} is {node.text!r}")
    return found


class XmlTests(SynchronousTestCase):
    def test_it_keeps_to_the_schema(self) -> None:
        self.assertEqual(violations(ElementTree.fromstring(to_xml(REPORT))), [])

    def test_the_check_finds_what_is_wrong(self) -> None:
        for broken in (
            evolve(REPORT, records=()),
            evolve(REPORT, published=evolve(REPORT.published, p="nothing")),
            evolve(REPORT, records=(evolve(RECORD, dkim="none"),)),
        ):
            self.assertEqual(len(violations(ElementTree.fromstring(to_xml(broken)))), 1)
        moved = to_xml(REPORT).replace(b"<spf>fail</spf>", b"").replace(b"<dkim>pass", b"<spf>fail</spf><dkim>pass")
        self.assertNotEqual(violations(ElementTree.fromstring(moved)), [])

    def test_what_is_not_said_is_left_out(self) -> None:
        bare = evolve(REPORT, extra_contact_info="", errors=(), generator="", records=(evolve(RECORD, spf_seen=()),))
        self.assertEqual(violations(ElementTree.fromstring(to_xml(bare))), [])

    def test_our_reader_reads_it_back(self) -> None:
        self.assertEqual(read_aggregate(to_xml(REPORT)), REPORT)

    @given(st.text(max_size=50), st.text(max_size=50))
    def test_no_text_can_break_it(self, one: str, other: str) -> None:
        hostile = evolve(REPORT, org_name=one, records=(evolve(RECORD, header_from=other, envelope_from=one),))
        read = read_aggregate(to_xml(hostile))
        self.assertEqual((len(read.records), read.records[0].count), (1, 1))
