"""The DMARC Policy Record (RFC 9989 4.5 to 4.8)."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.senderauth.dmarc_record import MAX_RECORD, MAX_URIS, Record, find_record, parse_record

REPORTS = "rua=mailto:dmarc@example.com"


def parse(text: str) -> Record:
    record = find_record([text.encode()])
    assert record is not None, text
    return record


class VersionTests(SynchronousTestCase):
    def test_the_version_stands_first_and_in_capitals(self) -> None:
        """RFC 9989 4.7, v: otherwise the entire record is ignored."""
        for text in (
            "p=reject; v=DMARC1",
            "p=reject",
            "v=dmarc1; p=reject",
            "v=DMARC2; p=reject",
            "v=DMARC10; p=reject",
            "v=DMARC1 p=reject",
            "v=DMARC1\\; p=reject",
            "x v=DMARC1; p=reject",
            "v=spf1 -all",
            "",
        ):
            self.assertIsNone(find_record([text.encode()]), text)

    def test_space_that_the_grammar_allows(self) -> None:
        """RFC 9989 4.8 equals and dmarc-sep."""
        for text in ("v=DMARC1;p=reject", "v = DMARC1 ; p = reject ;", "V=DMARC1; p=reject;", "\tv=DMARC1 ;\tp=reject"):
            self.assertEqual(parse(text), Record(policy="reject"), text)

    def test_records_of_others_do_not_matter(self) -> None:
        self.assertEqual(find_record([b"v=spf1 -all", b"v=DMARC1; p=reject", b"\xff"]), Record(policy="reject"))

    def test_several_records_are_none(self) -> None:
        """RFC 9989 4.10 step 2: they are all discarded."""
        self.assertIsNone(find_record([b"v=DMARC1; p=reject", b"v=DMARC1; p=reject"]))


class TagTests(SynchronousTestCase):
    def test_all_tags(self) -> None:
        record = parse(
            "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; psd=n; t=y; fo=1:d:s; "
            "rua=mailto:a@example.com,https://example.net/x; ruf=mailto:b@example.com"
        )
        self.assertEqual(
            record,
            Record(
                "reject",
                "quarantine",
                "none",
                psd="n",
                strict_dkim=True,
                strict_spf=True,
                testing=True,
                rua=("mailto:a@example.com", "https://example.net/x"),
            ),
        )

    def test_defaults(self) -> None:
        record = parse("v=DMARC1; p=none")
        self.assertEqual(
            (record.strict_dkim, record.strict_spf, record.psd, record.testing), (False, False, "u", False)
        )
        self.assertEqual((record.subdomain_policy, record.nonexistent_policy, record.rua), (None, None, ()))

    def test_historic_and_unknown_tags_are_ignored(self) -> None:
        """RFC 9989 4.7 and 9.3: pct, rf and ri are historic."""
        self.assertEqual(parse("v=DMARC1; p=reject; pct=0; rf=iodef; ri=1; foo=bar; x-y=1"), Record(policy="reject"))

    def test_tags_stand_in_any_order_and_case(self) -> None:
        self.assertEqual(parse("v=DMARC1; aspf=S; P=Reject"), Record(policy="reject", strict_spf=True))

    def test_what_is_wrong_has_its_default(self) -> None:
        """RFC 9989 4.8."""
        for junk in ("adkim=x", "aspf=", "psd=maybe", "t=yes", "fo=9", "rubbish", "=", ";;;", "p", "sp", "\x00=\x00"):
            self.assertEqual(parse(f"v=DMARC1; p=reject; {junk}"), Record(policy="reject"), junk)

    def test_of_a_tag_that_is_there_twice_the_first_holds(self) -> None:
        self.assertEqual(parse("v=DMARC1; p=reject; p=none"), Record(policy="reject"))


class PolicyTests(SynchronousTestCase):
    def test_below_the_domain(self) -> None:
        """RFC 9989 4.7, np and sp."""
        for tags, existing, nonexistent in (
            ("p=reject", "reject", "reject"),
            ("p=none; sp=reject", "reject", "reject"),
            ("p=none; np=reject", "none", "reject"),
            ("p=none; sp=quarantine; np=reject", "quarantine", "reject"),
            ("p=reject; sp=none; np=none", "none", "none"),
        ):
            record = parse(f"v=DMARC1; {tags}")
            self.assertEqual(record.policy_of_subdomain(exists=True), existing, tags)
            self.assertEqual(record.policy_of_subdomain(exists=False), nonexistent, tags)

    def test_without_a_right_policy_reports_make_it_none(self) -> None:
        """RFC 9989 4.10.1: the whole record counts as p=none, whichever of the three is wrong."""
        for tags in ("", "p=", "p=block", "p=reject; sp=quarantin", "p=reject; np=no", "sp=reject"):
            record = parse(f"v=DMARC1; {tags}; adkim=s; {REPORTS}")
            self.assertEqual(record, Record(strict_dkim=True, rua=("mailto:dmarc@example.com",)), tags)

    def test_without_a_right_policy_and_reports_it_does_nothing(self) -> None:
        for tags, malformed in (
            ("", False),
            ("adkim=s", False),
            ("sp=reject", False),
            ("p=block", True),
            ("p=reject; sp=quarantin", True),
            ("p=reject; np=\x80", True),
            ("p=block; rua=dmarc@example.com", True),
            ("p=block; rua=mailto:nobody", True),
        ):
            record = parse(f"v=DMARC1; {tags}")
            self.assertEqual((bool(record.problem), record.malformed), (True, malformed), tags)
            self.assertTrue(record.problem.isascii())

    def test_such_a_record_still_marks_an_organisation(self) -> None:
        self.assertEqual(parse("v=DMARC1; psd=n").psd, "n")


class ReportTests(SynchronousTestCase):
    def uris(self, value: str) -> tuple[str, ...]:
        return parse(f"v=DMARC1; p=none; rua={value}").rua

    def test_uris(self) -> None:
        """RFC 9989 4.6, 4.8: separated by commas; a size behind `!` is ignored."""
        self.assertEqual(
            self.uris("mailto:a@example.com!10m , mailto:b@example.com,MAILTO:c@example.com"),
            ("mailto:a@example.com", "mailto:b@example.com", "MAILTO:c@example.com"),
        )

    def test_what_is_no_uri_is_left_out(self) -> None:
        self.assertEqual(
            self.uris("a@example.com,mailto:b@example.com,,mailto:,mailto:x y@z,:,\xe9:x@y"), ("mailto:b@example.com",)
        )

    def test_they_are_bounded(self) -> None:
        self.assertEqual(len(self.uris(",".join(["mailto:a@b"] * 100))), MAX_URIS)


class HostileTests(SynchronousTestCase):
    def test_a_record_that_is_too_long(self) -> None:
        record = parse_record(b"v=DMARC1; p=reject; x=" + b"y" * MAX_RECORD)
        self.assertTrue(record.problem)
        self.assertTrue(record.malformed)

    def test_the_longest_record_takes_no_time(self) -> None:
        for junk in (";", "a=b;", "=", " ", "p=;", ",", "mailto:a@b,"):
            text = (f"v=DMARC1; p=reject; rua={junk}" + junk * MAX_RECORD).encode()[:MAX_RECORD]
            started = time.process_time()
            find_record([text])
            self.assertLess(time.process_time() - started, 0.05, junk)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=3), st.binary(max_size=200))
    def test_anything_is_taken(self, others: list[bytes], tags: bytes) -> None:
        record = find_record([*others, b"v=DMARC1;" + tags])
        if record is not None:
            self.assertIn(record.policy, ("none", "quarantine", "reject"))
            self.assertIn(record.policy_of_subdomain(exists=False), ("none", "quarantine", "reject"))
            self.assertIn(record.psd, "ynu")
