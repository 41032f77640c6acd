"""The fake resolver behaves as the interface says, since other tests rest on it."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.interface import Answer, DnsFailure, MxRecord, RecordType
from tests.fakes import FAIL, FakeResolver, reverse_name


class FakeResolverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver(
            {
                "Example.org": {"TXT": ["v=spf1 -all"], "MX": [(10, "mx.example.org"), (20, "mx2.example.org")]},
                "www.example.org": {"CNAME": ["example.org"]},
                "loop.example": {"CNAME": ["loop.example"]},
                "broken.example": FAIL,
                "half.example": {"A": ["192.0.2.2"], "TXT": FAIL},
            }
        )

    def ask(self, name: str, type: RecordType) -> Deferred[Answer]:
        return Deferred.fromCoroutine(self.resolver.lookup(name, type))

    def test_records(self) -> None:
        self.assertEqual(self.successResultOf(self.ask("example.ORG.", "TXT")).records, (b"v=spf1 -all",))
        self.assertEqual(
            self.successResultOf(self.ask("example.org", "MX")).records,
            (MxRecord(10, "mx.example.org"), MxRecord(20, "mx2.example.org")),
        )
        self.assertEqual(self.resolver.asked, [("example.org", "TXT"), ("example.org", "MX")])

    def test_cname_is_followed(self) -> None:
        self.assertEqual(self.successResultOf(self.ask("www.example.org", "TXT")).records, (b"v=spf1 -all",))
        self.failureResultOf(self.ask("loop.example", "A"), DnsFailure)

    def test_absent(self) -> None:
        no_name = self.successResultOf(self.ask("absent.example", "A"))
        self.assertEqual((no_name.records, no_name.exists), ((), False))
        no_record = self.successResultOf(self.ask("example.org", "A"))
        self.assertEqual((no_record.records, no_record.exists), ((), True))

    def test_failure(self) -> None:
        self.failureResultOf(self.ask("broken.example", "A"), DnsFailure)
        self.failureResultOf(self.ask("half.example", "TXT"), DnsFailure)
        self.assertEqual(self.successResultOf(self.ask("half.example", "A")).records, ("192.0.2.2",))

    def test_silent(self) -> None:
        self.resolver.silent_names.add("example.org")
        self.assertNoResult(self.ask("example.org", "MX"))
        self.resolver.silent = True
        self.assertNoResult(self.ask("half.example", "A"))

    def test_reverse_name(self) -> None:
        self.assertEqual(reverse_name("192.0.2.1"), "1.2.0.192.in-addr.arpa")
