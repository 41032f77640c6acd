"""The resolver that answers from what was written down."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.interface import Answer, DnsFailure, MxRecord, RecordType
from mailgw.dns.zone import ZoneResolver


class ZoneTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.zone = ZoneResolver()
        for line in (
            'a.example TXT "v=spf1 -all"',
            "A.example. MX 10 mx.a.example.",
            "mx.a.example A 192.0.2.1",
            "mx.a.example AAAA 2001:DB8::1",
            "192.0.2.1 PTR mx.a.example.",
            "www.a.example CNAME mx.a.example",
            "broken.example fail",
        ):
            self.zone.add(line)

    def ask(self, name: str, kind: RecordType) -> Answer:
        return self.successResultOf(Deferred.fromCoroutine(self.zone.lookup(name, kind)))

    def test_records(self) -> None:
        self.assertEqual(self.ask("a.example", "TXT").records, (b"v=spf1 -all",))
        self.assertEqual(self.ask("a.EXAMPLE", "MX").records, (MxRecord(10, "mx.a.example"),))
        self.assertEqual(self.ask("www.a.example", "A").records, ("192.0.2.1",))
        self.assertEqual(self.ask("mx.a.example", "AAAA").records, ("2001:db8::1",))
        self.assertEqual(self.ask("1.2.0.192.in-addr.arpa", "PTR").records, ("mx.a.example",))

    def test_what_is_not_there(self) -> None:
        self.assertEqual((self.ask("b.example", "A").exists, self.ask("a.example", "A").exists), (False, True))
        self.assertTrue(self.ask("example", "A").exists, "RFC 8020: there are names below it")

    def test_a_failure(self) -> None:
        self.failureResultOf(Deferred.fromCoroutine(self.zone.lookup("broken.example", "A")), DnsFailure)

    def test_what_cannot_be_read(self) -> None:
        for line in ("a.example", "a.example NONE x", "a.example MX mx", "a.example A 300.1.1.1", ""):
            self.assertRaises(ValueError, self.zone.add, line)
