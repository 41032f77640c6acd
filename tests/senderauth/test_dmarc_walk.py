"""The DNS Tree Walk (RFC 9989 4.10): the names asked for, the records found, the organisations told apart."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.interface import DnsFailure
from mailgw.senderauth.tree_walk import TreeWalk, targets
from tests.fakes import FAIL, FakeResolver

T = TypeVar("T")
PLAIN = "v=DMARC1; p=reject"
PSD = "v=DMARC1; p=reject; psd=y"
OWN = "v=DMARC1; p=reject; psd=n"
DEEP = "a.b.c.d.e.f.g.h.i.j.mail.example.com"
DEEP_WALK = [
    DEEP,
    "g.h.i.j.mail.example.com",
    "h.i.j.mail.example.com",
    "i.j.mail.example.com",
    "j.mail.example.com",
    "mail.example.com",
    "example.com",
    "com",
]


class TargetTests(SynchronousTestCase):
    def test_from_the_domain_to_the_top(self) -> None:
        self.assertEqual(
            targets("a.mail.example.com"), ["a.mail.example.com", "mail.example.com", "example.com", "com"]
        )
        self.assertEqual(targets("com"), ["com"])

    def test_long_names_are_shortened_to_seven_labels(self) -> None:
        """RFC 9989 4.10 step 4, and its example."""
        self.assertEqual(targets(DEEP), DEEP_WALK)
        for labels in range(1, 130):
            domain = ".".join("x" * labels)
            self.assertEqual(len(targets(domain)), min(labels, 8))
        seven, eight, nine = (".".join("abcdefghi"[-n:]) for n in (7, 8, 9))
        self.assertEqual(targets(seven)[1], "d.e.f.g.h.i")
        self.assertEqual(targets(eight)[1], seven)
        self.assertEqual(targets(nine)[1], seven)


class WalkCase(SynchronousTestCase):
    def walk(self, records: dict[str, Any]) -> TreeWalk:
        """Make a walk in a DNS with these records: domain -> text, texts or FAIL."""
        self.resolver = FakeResolver()
        for domain, texts in records.items():
            texts = [texts] if isinstance(texts, str) and texts != FAIL else texts
            self.resolver.set(f"_dmarc.{domain}", texts if texts == FAIL else {"TXT": texts})
        return TreeWalk(self.resolver)

    def now(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(work))

    @property
    def asked(self) -> list[str]:
        for name, type in self.resolver.asked:
            self.assertEqual((name[:7], type), ("_dmarc.", "TXT"))
        return [name.removeprefix("_dmarc.") for name, _ in self.resolver.asked]


class FindTests(WalkCase):
    """Policy discovery (RFC 9989 4.10.1)."""

    def find(self, domain: str, records: dict[str, Any]) -> str:
        found = self.now(self.walk(records).find(domain))
        return found.domain if found else ""

    def test_which_record_applies_and_what_was_asked(self) -> None:
        top = ["a.mail.example.com", "mail.example.com", "example.com", "com"]
        for records, applies, asked in (
            # Nothing anywhere.
            ({}, "", top),
            # Its own record, whatever else there is: one question.
            ({"a.mail.example.com": PLAIN, "example.com": PLAIN}, "a.mail.example.com", top[:1]),
            ({"a.mail.example.com": PSD}, "a.mail.example.com", top[:1]),
            # The record with the fewest labels.
            ({"example.com": PLAIN}, "example.com", top),
            ({"mail.example.com": PLAIN}, "mail.example.com", top),
            ({"mail.example.com": PLAIN, "example.com": PLAIN}, "example.com", top),
            ({"mail.example.com": PLAIN, "com": PLAIN}, "com", top),
            # psd=n and psd=y end the walk.
            ({"mail.example.com": OWN, "example.com": PLAIN}, "mail.example.com", top[:2]),
            ({"example.com": OWN, "com": PLAIN}, "example.com", top[:3]),
            ({"mail.example.com": PSD, "example.com": PLAIN}, "mail.example.com", top[:2]),
            # The Organizational Domain goes before the public suffix, but what is below it does not count.
            ({"example.com": PLAIN, "com": PSD}, "example.com", top),
            ({"com": PSD}, "com", top),
            ({"mail.example.com": PLAIN, "com": PSD}, "com", top),
            # Several records at one name are none.
            ({"a.mail.example.com": [PLAIN, PLAIN], "example.com": PLAIN}, "example.com", top),
            ({"example.com": [PLAIN, OWN]}, "", top),
            # What is not DMARC is passed over.
            ({"a.mail.example.com": ["v=spf1 -all"], "example.com": [PLAIN, "x"]}, "example.com", top),
            # A record that asks for nothing is one all the same.
            ({"a.mail.example.com": "v=DMARC1; p=x", "example.com": PLAIN}, "a.mail.example.com", top[:1]),
        ):
            self.assertEqual(self.find("a.mail.example.com", records), applies, records)
            self.assertEqual(self.asked, asked, records)

    def test_the_example_of_a_long_name(self) -> None:
        self.assertEqual(self.find(DEEP, {}), "")
        self.assertEqual(self.asked, DEEP_WALK)
        # Names between the first and the second are never looked at.
        self.assertEqual(self.find(DEEP, {"b.c.d.e.f.g.h.i.j.mail.example.com": PLAIN}), "")
        self.assertEqual(self.find(DEEP, {"g.h.i.j.mail.example.com": PLAIN}), "g.h.i.j.mail.example.com")

    def test_a_failure_is_not_no_record(self) -> None:
        for records in (
            {"a.mail.example.com": FAIL, "example.com": PLAIN},
            {"mail.example.com": FAIL, "example.com": PLAIN},
            {"example.com": PLAIN, "com": FAIL},
            {"com": FAIL},
        ):
            finding = Deferred.fromCoroutine(self.walk(records).find("a.mail.example.com"))
            self.failureResultOf(finding, DnsFailure)
        self.assertEqual(self.find("example.com", {"example.com": PLAIN, "com": FAIL}), "example.com")
        self.assertEqual(self.find("a.example.com", {"example.com": OWN, "com": FAIL}), "example.com")


class OrganizationalDomainTests(WalkCase):
    """RFC 9989 4.10.2."""

    def test_selection(self) -> None:
        for domain, records, organisation in (
            ("a.mail.example.com", {}, "a.mail.example.com"),
            # The RFC's three examples.
            ("a.mail.example.com", {"mail.example.com": PLAIN, "example.com": PLAIN}, "example.com"),
            ("a.mail.example.com", {"mail.example.com": OWN}, "mail.example.com"),
            ("a.mail.example.com", {"com": PSD}, "example.com"),
            # The text of rule 2.
            ("mail.example.com", {"example.com": PSD}, "mail.example.com"),
            # Not at the start of the walk: a public suffix that sends mail is its own organisation.
            ("example.com", {"example.com": PSD, "com": PLAIN}, "example.com"),
            ("example.com", {"example.com": OWN}, "example.com"),
            ("a.b.co.uk", {"co.uk": PSD, "b.co.uk": PLAIN}, "b.co.uk"),
            ("a.b.co.uk", {"a.b.co.uk": PLAIN, "co.uk": PSD}, "b.co.uk"),
            ("a.b.co.uk", {"uk": PSD}, "co.uk"),
            (DEEP, {"com": PSD}, "example.com"),
            (DEEP, {"g.h.i.j.mail.example.com": PSD}, "f.g.h.i.j.mail.example.com"),
            (DEEP, {DEEP: PLAIN}, DEEP),
        ):
            found = self.now(self.walk(records).organizational_domain(domain))
            self.assertEqual(found, organisation, (domain, records))

    def test_names_are_asked_for_once(self) -> None:
        walk = self.walk({"example.com": PLAIN})
        for domain in ("a.example.com", "b.example.com", "a.example.com", "example.com"):
            self.assertEqual(self.now(walk.organizational_domain(domain)), "example.com")
        self.assertEqual(self.asked, ["a.example.com", "example.com", "com", "b.example.com"])

    def test_failures_too(self) -> None:
        walk = self.walk({"com": FAIL})
        for domain in ("a.example.com", "example.com"):
            self.failureResultOf(Deferred.fromCoroutine(walk.organizational_domain(domain)), DnsFailure)
        self.assertEqual(self.asked, ["a.example.com", "example.com", "com"])


class ExistenceTests(WalkCase):
    """RFC 9989 3.2.13, A.4."""

    def exists(self, domain: str, zone: dict[str, Any]) -> bool:
        walk = self.walk({})
        for name, types in zone.items():
            self.resolver.set(name, types)
        return self.now(walk.exists(domain))

    def test_any_record_is_existence(self) -> None:
        self.assertTrue(self.exists("a.example.com", {"a.example.com": {"TXT": ["x"]}}))
        self.assertTrue(self.exists("a.example.com", {"a.example.com": {}}))
        self.assertTrue(self.exists("a.example.com", {"a.example.com": {"CNAME": ["nowhere.example"]}}))
        self.assertFalse(self.exists("a.example.com", {}))

    def test_a_name_below_shows_it_without_a_question(self) -> None:
        walk = self.walk({"a.example.com": ["no record"]})
        self.now(walk.find("a.example.com"))
        self.assertTrue(self.now(walk.exists("a.example.com")))
        self.assertEqual(self.asked, ["a.example.com", "example.com", "com"])
