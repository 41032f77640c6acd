"""iprev: RFC 8601 3."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.senderauth.iprev import IprevResult, iprev
from tests.fakes import FAIL, FakeResolver, Zone, reverse_name

NAME = reverse_name("192.0.2.1")


class IprevTests(SynchronousTestCase):
    def check(self, zone: Zone, address: str = "192.0.2.1") -> IprevResult:
        self.resolver = FakeResolver(zone)
        return self.successResultOf(Deferred.fromCoroutine(iprev(self.resolver, address)))

    def test_pass(self) -> None:
        zone: Zone = {
            NAME: {"PTR": ["other.example", "Host.example"]},
            "host.example": {"A": ["192.0.2.7", "192.0.2.1"]},
        }
        self.assertEqual(self.check(zone), IprevResult("pass", "host.example"))
        self.assertEqual(self.check(zone, "::ffff:192.0.2.1"), IprevResult("pass", "host.example"))

    def test_ipv6(self) -> None:
        zone: Zone = {reverse_name("2001:db8::1"): {"PTR": ["h.example"]}, "h.example": {"AAAA": ["2001:db8::1"]}}
        self.assertEqual(self.check(zone, "2001:DB8:0::1"), IprevResult("pass", "h.example"))

    def test_fail(self) -> None:
        zone: Zone = {NAME: {"PTR": ["host.example"]}, "host.example": {"A": ["192.0.2.2"]}}
        self.assertEqual(self.check(zone), IprevResult("fail", "host.example"))

    def test_no_name(self) -> None:
        self.assertEqual(self.check({}), IprevResult("permerror"))

    def test_dns_does_not_answer(self) -> None:
        self.assertEqual(self.check({NAME: FAIL}), IprevResult("temperror"))
        self.assertEqual(self.check({NAME: {"PTR": ["a.example"]}, "a.example": FAIL}).result, "temperror")
        zone: Zone = {NAME: {"PTR": ["a.example", "b.example"]}, "a.example": FAIL, "b.example": {"A": ["192.0.2.1"]}}
        self.assertEqual(self.check(zone), IprevResult("pass", "b.example"))

    def test_names_are_bounded(self) -> None:
        self.check({NAME: {"PTR": [f"h{n}.example" for n in range(100)]}})
        self.assertEqual(len(self.resolver.asked), 1 + 5)
