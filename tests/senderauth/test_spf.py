"""SPF beyond the OpenSPF suite (tests/conformance): bounds, time, hostile records, and what is asked of DNS."""

from __future__ import annotations

import time

import spf
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.senderauth.spf import MAX_EXPLANATION, MAX_RUNS, Spf, SpfResult
from tests.fakes import FAIL, FakeResolver, Zone


class SpfTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver()

    def start(self, address: str, sender: str, helo: str = "mx.example.org") -> Deferred[SpfResult]:
        local_part, _, domain = sender.rpartition("@")
        check = Spf(self.resolver, "receiver.example").check(address, local_part, domain, helo)
        return Deferred.fromCoroutine(check)

    def check(self, zone: Zone, address: str = "192.0.2.1", sender: str = "ann@example.org") -> SpfResult:
        self.resolver = FakeResolver(zone)
        return self.successResultOf(self.start(address, sender))

    def test_results(self) -> None:
        for record, result, mechanism in (
            ("v=spf1 ip4:192.0.2.0/24 -all", "pass", "ip4:192.0.2.0/24"),
            ("v=spf1 -all", "fail", "-all"),
            ("v=spf1 ~all", "softfail", "~all"),
            ("v=spf1 ?all", "neutral", "?all"),
            ("v=spf1", "neutral", ""),
            ("v=spf2 -all", "none", ""),
        ):
            outcome = self.check({"example.org": {"TXT": [record]}})
            self.assertEqual((outcome.result, outcome.mechanism), (result, mechanism), record)

    def test_permerror_has_its_reason(self) -> None:
        outcome = self.check({"example.org": {"TXT": ["v=spf1 ipv4:192.0.2.1 -all"]}})
        self.assertEqual(outcome.result, "permerror")
        self.assertIn("ipv4:192.0.2.1", outcome.reason)
        two = self.check({"example.org": {"TXT": ["v=spf1 -all", "v=spf1 +all"]}})
        self.assertEqual(two.result, "permerror")

    def test_dns_failure_is_temporary(self) -> None:
        outcome = self.check({"example.org": FAIL})
        self.assertEqual(outcome.result, "temperror")
        self.assertIn("example.org", outcome.reason)
        zone: Zone = {"example.org": {"TXT": ["v=spf1 include:inc.example -all"]}, "inc.example": FAIL}
        self.assertEqual(self.check(zone).result, "temperror")

    def test_a_match_before_a_dns_failure_holds(self) -> None:
        zone: Zone = {"example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 include:inc.example -all"]}, "inc.example": FAIL}
        self.assertEqual(self.check(zone).result, "pass")

    def test_no_domain_to_ask_for(self) -> None:
        """RFC 7208 4.3."""
        for sender in ("a@[192.0.2.1]", "a@localhost", "a@", "a@x..example", "a@" + "x" * 64 + ".org", "a@b c.org"):
            self.assertEqual(self.check({}, sender=sender).result, "none", sender)
            self.assertEqual(self.resolver.asked, [], sender)

    def test_internationalised_domain(self) -> None:
        zone: Zone = {"xn--bcher-kva.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}}
        self.assertEqual(self.check(zone, sender="ann@bücher.example").result, "pass")

    def test_non_ascii_local_part_matches_no_macro(self) -> None:
        """RFC 8616 4."""
        zone: Zone = {"example.org": {"TXT": ["v=spf1 exists:%{l}.x.example.org -all"]}}
        self.assertEqual(self.check(zone, sender="jürgen@example.org").result, "fail")
        self.assertEqual(self.resolver.asked, [("example.org", "TXT")])

    def test_at_sign_in_a_quoted_local_part_does_not_move_the_domain(self) -> None:
        zone: Zone = {
            "example.org": {"TXT": ["v=spf1 -all"]},
            "good.example@example.org": {"TXT": ["v=spf1 +all"]},
        }
        self.assertEqual(self.check(zone, sender="x@good.example@example.org").result, "fail")

    def test_mapped_and_scoped_addresses(self) -> None:
        zone: Zone = {"example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 ip6:fe80::/10 -all"]}}
        self.assertEqual(self.check(zone, "::ffff:192.0.2.1").result, "pass")
        self.assertEqual(self.check(zone, "fe80::1%eth0").result, "pass")

    def test_exchanges_are_asked_for_at_once(self) -> None:
        names = [f"mx{n}.example.org" for n in range(8)]
        self.resolver = FakeResolver({"example.org": {"TXT": ["v=spf1 mx -all"], "MX": [(1, name) for name in names]}})
        self.resolver.silent_names.update(names)
        self.assertNoResult(self.start("192.0.2.1", "ann@example.org"))
        self.assertEqual(len(self.resolver.asked), 2 + len(names))

    def test_exchanges_without_ipv6_are_no_void_lookups(self) -> None:
        """RFC 7208 4.6.4 counts terms, so an IPv6 client of a domain with old exchanges is no error of its record."""
        zone: dict[str, dict[str, list[object]]] = {f"mx{n}.example.org": {"A": ["192.0.2.1"]} for n in range(5)}
        zone["example.org"] = {"TXT": ["v=spf1 mx -all"], "MX": [(1, f"mx{n}.example.org") for n in range(5)]}
        self.assertEqual(self.check(zone, "2001:db8::1").result, "fail")
        self.assertEqual(self.check(zone).result, "pass")

    def test_null_mx(self) -> None:
        zone: Zone = {"example.org": {"TXT": ["v=spf1 mx -all"], "MX": [(0, "")]}}
        self.assertEqual(self.check(zone).result, "fail")

    def test_limits(self) -> None:
        """RFC 7208 4.6.4: 10 lookups, 2 void ones, 10 exchanges."""
        includes = " ".join(f"include:i{n}.example" for n in range(11))
        zone: dict[str, dict[str, list[object]]] = {f"i{n}.example": {"TXT": ["v=spf1 ?all"]} for n in range(11)}
        zone["example.org"] = {"TXT": [f"v=spf1 {includes} -all"]}
        self.assertEqual(self.check(zone).result, "permerror")
        self.assertLessEqual(len(self.resolver.asked), 11)
        self.assertEqual(self.check({"example.org": {"TXT": ["v=spf1 a:x.a a:y.a a:z.a -all"]}}).result, "permerror")
        many = [(n, f"mx{n}.example.org") for n in range(11)]
        self.assertEqual(self.check({"example.org": {"TXT": ["v=spf1 mx -all"], "MX": many}}).result, "permerror")

    def test_record_that_includes_itself(self) -> None:
        zone: Zone = {
            "example.org": {"TXT": ["v=spf1 include:b.example -all"]},
            "b.example": {"TXT": ["v=spf1 include:example.org -all"]},
        }
        self.assertEqual(self.check(zone).result, "permerror")

    def test_questions_are_bounded(self) -> None:
        """The worst that the limits allow: ten mx terms with ten exchanges each."""
        zone: dict[str, dict[str, list[object]]] = {
            f"d{n}.example": {"MX": [(1, f"m{n}-{m}.example") for m in range(10)]} for n in range(10)
        }
        zone["example.org"] = {"TXT": ["v=spf1 " + " ".join(f"mx:d{n}.example" for n in range(10)) + " -all"]}
        zone.update({f"m{n}-{m}.example": {"A": ["192.0.2.200"]} for n in range(10) for m in range(10)})
        before = time.process_time()
        self.assertEqual(self.check(zone).result, "fail")
        self.assertEqual(len(self.resolver.asked), 1 + 10 + 100)
        self.assertLess(2 * 10 + 1, MAX_RUNS)
        self.assertLess(time.process_time() - before, 1.0)

    def test_hostile_records_take_little_time(self) -> None:
        for record in (
            "v=spf1 a:%" + ".%{d}" * 900,
            "v=spf1 a:" + "%{" * 2000,
            "v=spf1 a:" + "a" * 4000 + "!",
            "v=spf1 a:" + "a." * 2000,
            "v=spf1 exists:" + "%{s}" * 100 + ".example",
            "v=spf1 " + "ip6:::/0 " * 440,
            "v=spf1 " + "x" * 5000,
            "v=spf1 ip4:192.0.2.1/" + "9" * 4000,
            "v=spf1 include:" * 250,
            "v=spf1 redirect=example.org",
            "v=spf1 exp=%{h}.example.org a:%{d999999999999999}.x -all",
            "v=spf1 \x00\x01 a: mx/ ptr:: exists +",
            "v=spf1 \xff -all",
        ):
            before = time.process_time()
            outcome = self.check({"example.org": {"TXT": [record.encode("latin-1")]}})
            self.assertIn(outcome.result, ("permerror", "fail", "neutral", "none"), record[:40])
            self.assertLess(time.process_time() - before, 0.5, record[:40])
            self.assertTrue((outcome.reason + outcome.mechanism).isprintable())

    def test_explanation(self) -> None:
        zone: Zone = {
            "example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 exp=why.example.org -all"]},
            "why.example.org": {"TXT": ["%{i} is not ours,\r\n see %{d}"]},
        }
        self.assertEqual(self.check(zone, "192.0.2.9").explanation, "192.0.2.9 is not ours,?? see example.org")
        self.assertEqual(self.check(zone).result, "pass")
        self.assertEqual(self.resolver.asked, [("example.org", "TXT")])

    def test_long_explanation_keeps_its_beginning(self) -> None:
        """pyspf takes a text of more than 253 characters for a domain, and cuts it before its first dot."""
        zone: Zone = {
            "example.org": {"TXT": ["v=spf1 -all exp=why.example.org"]},
            "why.example.org": {"TXT": ["%{i} is not ours. " + "Please see our page. " * 12]},
        }
        explanation = self.check(zone, "192.0.2.9").explanation
        self.assertTrue(explanation.startswith("192.0.2.9 is not ours. Please"), explanation)
        self.assertEqual(len(explanation), MAX_EXPLANATION)

    def test_error_within_pyspf_is_a_permerror(self) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        self.patch(spf.query, "check", broken)
        self.assertEqual(self.check({}).result, "permerror")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_giving_up(self) -> None:
        self.resolver.silent = True
        checking = self.start("192.0.2.1", "ann@example.org")
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
