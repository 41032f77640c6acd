"""Where reports go (RFC 9990 "Report Delivery") and who outside has to agree ("Verifying External Destinations")."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.interface import DnsFailure
from mailgw.reports.destinations import Destinations, find_destinations, mailbox_of
from tests.fakes import FAIL, FakeResolver
from tests.reports.support import PUBLISHED

ORGANISATION = {"TXT": ["v=DMARC1; p=none"]}


class DestinationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver({"_dmarc.sender.example": ORGANISATION, "_dmarc.other.example": ORGANISATION})

    def start(self, *rua: str, domain: str = "sender.example") -> Deferred[Destinations]:
        published = evolve(PUBLISHED, domain=domain, rua=rua)
        return Deferred.fromCoroutine(find_destinations(self.resolver, published))

    def find(self, *rua: str, domain: str = "sender.example") -> list[str]:
        found = self.successResultOf(self.start(*rua, domain=domain))
        self.reasons = [reason for _, reason in found.refused]
        return [str(mailbox) for mailbox in found.granted]

    def permit(self, text: str, domain: str = "sender.example", host: str = "other.example") -> None:
        self.resolver.set(f"{domain}._report._dmarc.{host}", {"TXT": [text]})

    def test_within_the_organisation_nobody_is_asked(self) -> None:
        self.assertEqual(
            self.find("mailto:a@sender.example", "mailto:b@x.sender.example"),
            ["a@sender.example", "b@x.sender.example"],
        )
        self.assertEqual(self.find("mailto:a@sender.example", domain="news.sender.example"), ["a@sender.example"])
        self.assertEqual([name for name, _ in self.resolver.asked if "_report" in name], [])

    def test_outside_without_permission(self) -> None:
        self.assertEqual(self.find("mailto:victim@other.example", "mailto:a@sender.example"), ["a@sender.example"])
        self.assertIn("other.example does not agree", self.reasons[0])

    def test_outside_with_permission(self) -> None:
        for text in ("v=DMARC1", "v=DMARC1;", "v=DMARC1; p=none"):
            self.permit(text)
            self.assertEqual(self.find("mailto:a@other.example"), ["a@other.example"], text)

    def test_what_is_no_permission(self) -> None:
        for text in ("", "v=spf1 -all", "rua=mailto:a@other.example; v=DMARC1", "v=dmarc1"):
            self.permit(text)
            self.assertEqual(self.find("mailto:a@other.example"), [], text)

    def test_the_name_that_is_asked_for_is_that_of_the_policy(self) -> None:
        self.permit("v=DMARC1", domain="news.sender.example", host="reports.other.example")
        self.assertEqual(
            self.find("mailto:a@reports.other.example", domain="news.sender.example"), ["a@reports.other.example"]
        )

    def test_a_destination_may_name_another_address_of_its_own(self) -> None:
        self.permit("v=DMARC1; rua=mailto:dmarc@other.example")
        self.assertEqual(self.find("mailto:a@other.example"), ["dmarc@other.example"])

    def test_but_no_other_host(self) -> None:
        # "MUST NOT generate a report to either the original or the override URI"
        for rua in (
            "mailto:a@sender.example",
            "mailto:a@other.example, mailto:a@third.example",
            "mailto:a@x.other.example",
        ):
            self.permit(f"v=DMARC1; rua={rua}")
            self.assertEqual(self.find("mailto:a@other.example"), [], rua)

    def test_a_name_that_is_too_long(self) -> None:
        domain = ".".join(["a" * 60] * 3 + ["sender.example"])
        self.resolver.set(f"_dmarc.{domain}", ORGANISATION)
        host = ".".join(["b" * 60, "other.example"])
        self.assertEqual(self.find(f"mailto:a@{host}", domain=domain), [])
        self.assertIn("too long", self.reasons[0])

    def test_dns_that_does_not_answer_is_no_answer(self) -> None:
        self.resolver.set("sender.example._report._dmarc.other.example", FAIL)
        self.failureResultOf(self.start("mailto:a@other.example"), DnsFailure)

    def test_the_same_address_twice_gets_one(self) -> None:
        self.assertEqual(self.find("mailto:a@sender.example", "MAILTO:a@sender.example"), ["a@sender.example"])

    def test_uris(self) -> None:
        self.assertEqual(str(mailbox_of("mailto:dmarc%2Breports@a.example?subject=x")), "dmarc+reports@a.example")
        for uri in (
            "https://a.example/r",
            "mailto:a",
            "mailto:a@b@c",
            "mailto:a@[192.0.2.1]",
            "mailto:%C3%A4@a.example",
        ):
            self.assertIsNone(mailbox_of(uri), uri)
        self.assertEqual(self.find("https://sender.example/r"), [])
