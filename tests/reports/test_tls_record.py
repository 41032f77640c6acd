"""Where a domain wants reports on TLS (RFC 8460 3)."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.interface import DnsFailure
from mailgw.reports.tls_record import MAX_URIS, TlsDestinations, find_tls_destinations, read_tls_record
from tests.fakes import FAIL, FakeResolver


class RecordTests(SynchronousTestCase):
    def urls(self, text: str) -> list[str]:
        found = read_tls_record(text)
        return [*map(str, found.mailboxes), *found.urls]

    def test_the_examples_of_the_rfc(self) -> None:
        self.assertEqual(self.urls("v=TLSRPTv1;rua=mailto:reports@example.com"), ["reports@example.com"])
        url = "https://reporting.example.com/v1/tlsrpt"
        self.assertEqual(self.urls(f"v=TLSRPTv1; rua={url}"), [url])

    def test_several(self) -> None:
        text = "v=TLSRPTv1; rua=mailto:a@x.example , https://x.example/r,mailto:b@y.example;"
        self.assertEqual(self.urls(text), ["a@x.example", "b@y.example", "https://x.example/r"])

    def test_what_is_encoded_in_a_uri(self) -> None:
        self.assertEqual(self.urls("v=TLSRPTv1; rua=mailto:a%2Bb%21@x.example"), ["a+b!@x.example"])

    def test_fields_that_are_not_known(self) -> None:
        self.assertEqual(self.urls("v=TLSRPTv1; new=7; rua=mailto:a@x.example; x"), ["a@x.example"])

    def test_what_cannot_be_used_is_named(self) -> None:
        for uri in (
            "http://x.example/",
            "https://",
            "https://user@x.example/",
            "https://x.example:99999/",
            "https://x.example:0/",
            "https://x.example/\u00e9",
            "https://" + "x" * 2000,
            "ftp:x",
            "mailto:",
            "mailto:a@[127.0.0.1]",
            "nonsense",
        ):
            found = read_tls_record(f"v=TLSRPTv1; rua={uri},mailto:a@x.example")
            self.assertEqual((found.urls, [*map(str, found.mailboxes)]), ((), ["a@x.example"]), uri)
            ((refused, _),) = found.refused
            self.assertTrue(uri.startswith(refused))

    def test_a_record_that_names_half_the_world(self) -> None:
        everybody = ",".join(f"mailto:victim{n}@x.example" for n in range(1000))
        self.assertEqual(len(self.urls(f"v=TLSRPTv1; rua={everybody}")), MAX_URIS)

    def test_without_rua(self) -> None:
        self.assertEqual(self.urls("v=TLSRPTv1; RUA=mailto:a@x.example"), [])  # %s: the name is case-sensitive


class LookupTests(SynchronousTestCase):
    def find(self, *texts: str) -> TlsDestinations:
        resolver = FakeResolver({"_smtp._tls.dest.example": {"TXT": texts}})
        return self.successResultOf(Deferred.fromCoroutine(find_tls_destinations(resolver, "dest.example")))

    def test_one_record(self) -> None:
        found = self.find("v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@x.example")
        self.assertEqual((found.asked, [*map(str, found.mailboxes)]), (True, ["a@x.example"]))

    def test_none(self) -> None:
        for texts in ((), ("v=spf1 -all",), ("v=TLSRPTv2; rua=mailto:a@x.example",), ("V=TLSRPTv1;rua=mailto:a@b.c",)):
            self.assertFalse(self.find(*texts).asked, texts)
        resolver = FakeResolver()
        self.assertFalse(
            self.successResultOf(Deferred.fromCoroutine(find_tls_destinations(resolver, "gone.example"))).asked
        )

    def test_two_are_as_none(self) -> None:
        self.assertFalse(self.find("v=TLSRPTv1; rua=mailto:a@x.example", "v=TLSRPTv1; rua=mailto:b@x.example").asked)

    def test_no_answer(self) -> None:
        resolver = FakeResolver({"_smtp._tls.dest.example": FAIL})
        self.failureResultOf(Deferred.fromCoroutine(find_tls_destinations(resolver, "dest.example")), DnsFailure)
