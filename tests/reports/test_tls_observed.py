"""What is counted of TLS: in memory first, then in rows, within bounds."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.tlsresult import AppliedPolicy, TlsResult
from mailgw.reports import tls_observed
from mailgw.reports.tables import DAY
from mailgw.reports.tls_observed import MAX_ROWS, MAX_WAITING, SeenDomain, TlsCollector
from mailgw.reports.tls_report import TlsFailure, TlsPolicy
from tests.reports.support import MemoryDatabase

TODAY = 20_000
GOOD = TlsResult("dest.example")
BAD = TlsResult(
    "dest.example",
    failure="certificate-expired",
    sending_ip="192.0.2.1",
    mx_host="mx.dest.example",
    receiving_ip="198.51.100.1",
    helo="mx",
    reason="expired on Monday",
)
DETAIL = TlsFailure(
    "certificate-expired",
    1,
    "192.0.2.1",
    "mx.dest.example",
    "198.51.100.1",
    "mx",
    reason_code="expired on Monday",
)
STS = AppliedPolicy("sts", ("version: STSv1", "mode: enforce"), ("*.dest.example",))


class CollectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(TODAY * DAY + 5)
        self.database: Any = MemoryDatabase()
        self.collect = TlsCollector(self.database, self.clock)

    def see(self, *results: TlsResult) -> None:
        for result in results:
            self.collect(result)

    def seen(self, domain: str = "dest.example", day: int = TODAY) -> tuple[TlsPolicy, ...]:
        return tls_observed.observed(self.database.connection, day, domain)

    def domains(self) -> list[SeenDomain]:
        return tls_observed.domains(self.database.connection, TODAY)

    def count_writes(self) -> list[object]:
        writes: list[object] = []
        note = self.database.note
        self.database.note = lambda work: (writes.append(work), note(work))
        return writes

    def test_all_that_a_minute_brings_is_one_write(self) -> None:
        writes = self.count_writes()
        for _ in range(500):
            self.see(GOOD, BAD, evolve(GOOD, domain="other.example"))
        self.assertEqual(self.seen(), ())
        self.clock.advance(60)
        self.assertEqual(len(writes), 1)
        self.assertEqual(
            self.seen(),
            (TlsPolicy("no-policy-found", "dest.example", (), (), 500, 500, (evolve(DETAIL, sessions=500),)),),
        )
        self.clock.advance(600)
        self.assertEqual((len(writes), self.clock.getDelayedCalls()), (1, []))

    def test_batches_and_workers_add_up(self) -> None:
        other = TlsCollector(self.database, self.clock)
        for _ in range(2):
            self.see(GOOD, BAD)
            other(GOOD)
            self.clock.advance(60)
        ((policy),) = self.seen()
        self.assertEqual((policy.successes, policy.failures, policy.details[0].sessions), (4, 2, 2))
        self.assertEqual(self.domains(), [SeenDomain("dest.example", ("no-policy-found",), 4, 2)])

    def test_what_is_counted_is_written_at_the_end(self) -> None:
        self.see(GOOD)
        self.successResultOf(Deferred.fromCoroutine(self.collect.stop()))
        self.assertEqual(len(self.seen()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_session_belongs_to_the_day_it_was_opened_on(self) -> None:
        self.clock.advance(DAY - 10)
        self.see(GOOD)
        self.clock.advance(60)
        self.assertEqual((len(self.seen()), len(self.seen(day=TODAY + 1))), (1, 0))

    def test_policies_are_apart(self) -> None:
        tlsa = AppliedPolicy("tlsa", ("3 1 1 AB",), domain="mx.dest.example")
        self.see(GOOD, evolve(GOOD, policy=STS), evolve(GOOD, policy=STS), evolve(BAD, policy=tlsa))
        self.collect.write()
        found = {policy.type: policy for policy in self.seen()}
        self.assertEqual(found["sts"], TlsPolicy("sts", "dest.example", STS.strings, STS.mx_hosts, 2, 0, ()))
        # RFC 8460 1.1: of DANE the Policy Domain is the TLSA base domain.
        self.assertEqual(found["tlsa"], TlsPolicy("tlsa", "mx.dest.example", ("3 1 1 AB",), (), 0, 1, (DETAIL,)))
        self.assertEqual(found["no-policy-found"].successes, 1)
        self.assertEqual(self.domains()[0].policies, ("no-policy-found", "sts", "tlsa"))

    def test_a_domain_has_so_many_rows(self) -> None:
        for number in range(3 * MAX_ROWS):
            self.see(evolve(BAD, reason=f"session {number}"))
        self.see(evolve(BAD, failure="starttls-not-supported", reason="x"))
        self.collect.write()
        (policy,) = self.seen()
        self.assertEqual(len(policy.details), MAX_ROWS + 2)
        self.assertEqual(policy.failures, 3 * MAX_ROWS + 1)  # none is lost
        self.assertEqual(policy.details[0], TlsFailure("certificate-expired", 2 * MAX_ROWS))

    def test_a_policy_that_is_new_at_each_session(self) -> None:
        for number in range(5 * MAX_ROWS):
            self.see(evolve(GOOD, policy=AppliedPolicy("sts", (f"version: {number}",))))
        self.collect.write()
        self.assertEqual(len(self.seen()), 2 * MAX_ROWS)

    def test_a_day_has_so_many_domains(self) -> None:
        self.patch(tls_observed, "MAX_DOMAINS", 10)
        for number in range(8):
            self.see(evolve(GOOD, domain=f"a{number}.example"))
        self.collect.write()
        for number in range(8):
            self.see(evolve(GOOD, domain=f"b{number}.example"), evolve(GOOD, domain="a0.example"))
        self.collect.write()
        found = {item.domain: item.successes for item in self.domains()}
        self.assertEqual((len(found), found["a0.example"]), (10, 9))

    def test_memory_is_bounded(self) -> None:
        writes = self.count_writes()
        for number in range(MAX_WAITING + 10):
            self.see(evolve(GOOD, domain=f"{number}.example"))
        self.assertEqual(len(writes), 1)
        self.clock.advance(60)
        self.assertEqual(len(self.domains()), MAX_WAITING + 10)

    def test_a_remote_that_talks_a_lot(self) -> None:
        self.see(evolve(BAD, helo="x" * 5000, reason="y" * 5000))
        self.collect.write()
        (policy,) = self.seen()
        self.assertLess(len(policy.details[0].receiving_mx_helo + policy.details[0].reason_code), 500)

    def test_old_days_are_forgotten(self) -> None:
        self.see(GOOD)
        self.collect.write()
        self.database.note(lambda connection: tls_observed.forget(connection, TODAY))
        self.assertEqual(len(self.seen()), 1)
        self.database.note(lambda connection: tls_observed.forget(connection, TODAY + 1))
        self.assertEqual(self.seen(), ())
