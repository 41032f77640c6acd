"""Whose TLSA records count, and what a lookup that fails means (RFC 7672 2)."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.classify import Unreachable
from mailgw.delivery.tls.tlsa import HostTlsa
from mailgw.delivery.tls.tlsa_lookup import TlsaLookup
from mailgw.dns.interface import TlsaRecord
from mailgw.queue.item import Delayed
from tests.fakes import FAIL, FakeResolver

HOST = "mx.example.org"
TLSA = f"_25._tcp.{HOST}"
RECORD = TlsaRecord(3, 1, 1, bytes(32))
UNUSABLE = TlsaRecord(1, 1, 1, bytes(32))
ADDRESS = {"A": ["192.0.2.1"]}


class TlsaTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver({HOST: ADDRESS, TLSA: {"TLSA": [RECORD]}}, authenticated=True)

    def find(self, host: str = HOST, port: int = 25) -> HostTlsa | None:
        return self.successResultOf(Deferred.fromCoroutine(TlsaLookup(self.resolver).find(host, port)))

    def fails(self) -> Unreachable:
        return self.failureResultOf(Deferred.fromCoroutine(TlsaLookup(self.resolver).find(HOST, 25)), Unreachable).value


class LookupTests(TlsaTestCase):
    def test_records(self) -> None:
        self.assertEqual(self.find(), HostTlsa(HOST, (HOST,), (RECORD,), (RECORD,)))

    def test_records_of_the_port(self) -> None:
        self.assertIsNone(self.find(port=587))

    def test_no_records(self) -> None:
        self.resolver.set(TLSA, {"TXT": [b"x"]})
        self.assertIsNone(self.find())
        del self.resolver.zone[TLSA]
        self.assertIsNone(self.find())

    def test_only_records_that_are_of_no_use(self) -> None:
        """RFC 7672 2.2: there is to be TLS all the same."""
        self.resolver.set(TLSA, {"TLSA": [UNUSABLE]})
        self.assertEqual(self.find(), HostTlsa(HOST, (HOST,), (UNUSABLE,), ()))

    def test_records_that_nobody_vouches_for(self) -> None:
        self.resolver.insecure.add(TLSA)
        self.assertIsNone(self.find())

    def test_a_host_whose_address_is_not_secure_is_not_asked(self) -> None:
        """RFC 7672 2.2.2: its servers may not even answer such a question."""
        self.resolver.insecure.add(HOST)
        self.resolver.set(TLSA, FAIL)
        self.assertIsNone(self.find())
        self.assertNotIn("TLSA", [type for _, type in self.resolver.asked])

    def test_a_host_with_ipv6_only(self) -> None:
        self.resolver.set(HOST, {"A": FAIL, "AAAA": ["2001:db8::1"]})
        self.assertIsNotNone(self.find())

    def test_a_lookup_that_fails_closes_the_way(self) -> None:
        """RFC 7672 2.1.2: bogus, SERVFAIL, silence; else who breaks DNS would have the mail in clear text."""
        self.resolver.set(TLSA, FAIL)
        error = self.fails()
        self.assertIsInstance(error.outcome, Delayed)
        self.assertEqual((error.outcome.status, error.failure), ("4.4.3", "dnssec-invalid"))
        self.assertIn(f"whether {HOST} wants TLS (DANE): TLSA {TLSA}", error.outcome.reason)

    def test_addresses_and_localhost_have_none(self) -> None:
        for host in ("192.0.2.1", "2001:db8::1", "localhost", "mx.localhost"):
            self.assertIsNone(self.find(host))
        self.assertEqual(self.resolver.asked, [])

    def test_without_a_validating_resolver(self) -> None:
        self.resolver.authenticated = False
        self.assertIsNone(self.find())


class AliasTests(TlsaTestCase):
    """RFC 7672 2.2.3: where an MX host is an alias, its target comes first, then the alias itself."""

    def setUp(self) -> None:
        super().setUp()
        self.resolver.set(HOST, {"CNAME": ["real.example.net"]})
        self.resolver.set("real.example.net", ADDRESS)

    def test_records_of_the_target(self) -> None:
        own = TlsaRecord(3, 1, 1, b"\1" * 32)
        self.resolver.set("_25._tcp.real.example.net", {"TLSA": [own]})
        self.assertEqual(self.find(), HostTlsa("real.example.net", ("real.example.net", HOST), (own,), (own,)))

    def test_records_of_the_alias(self) -> None:
        names = ("real.example.net", HOST)
        self.assertEqual(self.find(), HostTlsa(HOST, names, (RECORD,), (RECORD,)))

    def test_a_secure_alias_into_a_zone_that_is_not(self) -> None:
        self.resolver.insecure.add("real.example.net")
        self.resolver.set("_25._tcp.real.example.net", {"TLSA": [UNUSABLE]})
        self.assertEqual(self.find(), HostTlsa(HOST, (HOST,), (RECORD,), (RECORD,)))

    def test_an_alias_that_is_not_secure_either(self) -> None:
        self.resolver.insecure |= {HOST, "real.example.net"}
        self.assertIsNone(self.find())

    def test_a_lookup_of_the_target_that_fails(self) -> None:
        self.resolver.set("_25._tcp.real.example.net", FAIL)
        self.assertEqual(self.fails().failure, "dnssec-invalid")
