"""What was seen of each domain: who is counted, and that what comes out alike is one row."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.verdict import Action
from mailgw.reports import observed
from mailgw.reports.observed import Observer
from mailgw.reports.tables import DAY
from tests.reports.support import PUBLISHED, RECORD, MemoryDatabase, evaluation, seen, verdict

TODAY = 20_000


class ObserverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(TODAY * DAY + 5)
        self.database: Any = MemoryDatabase()
        self.observer = Observer(
            self.database, lambda a: a == "10.0.0.1", [Mailbox("reports", "example.org")], 3, self.clock
        )

    def see(self, *evaluations: Any, action: Action = "inbox", **changes: Any) -> None:
        self.observer(seen(*(evaluations or (evaluation("pass"),)), **changes), verdict(action))

    def counts(self, day: int = TODAY, domain: str = "sender.example") -> list[tuple[str, str, int]]:
        found = observed.observed(self.database.connection, day, domain, 3)
        return [(r.source_ip, r.disposition, r.count) for r in found.records] if found else []

    def test_messages_that_come_out_alike_are_one_row(self) -> None:
        for _ in range(3):
            self.see()
        self.see(address="192.0.2.2")
        self.assertEqual(self.counts(), [("192.0.2.1", "pass", 3), ("192.0.2.2", "pass", 1)])
        self.assertEqual(observed.domains(self.database.connection, TODAY), [(evaluation("pass").published, 4)])

    def test_refused_messages_count_and_those_that_come_again_do_not(self) -> None:
        self.see(evaluation("fail"), action="reject")
        self.see(evaluation("fail"), action="defer")
        self.see(evaluation("fail"), action="greylist")
        self.assertEqual(self.counts(), [("192.0.2.1", "reject", 1)])

    def test_mail_of_our_own_does_not_count(self) -> None:
        self.see(identity="alice@example.org")
        self.see(address="10.0.0.1")
        self.assertEqual(self.counts(), [])

    def test_what_comes_to_the_address_of_reports_does_not_count(self) -> None:
        reports, bob = Recipient(Mailbox("reports", "example.org")), Recipient(Mailbox("bob", "example.org"))
        self.see(recipients=(reports,))
        self.assertEqual(self.counts(), [])
        self.see(recipients=(reports, bob))
        self.assertEqual(len(self.counts()), 1)

    def test_each_author_counts(self) -> None:
        other = evolve(PUBLISHED, domain="other.example")
        self.see(evaluation("pass"), evolve(evaluation("pass"), author="a.other.example", published=other))
        self.assertEqual((len(self.counts()), len(self.counts(domain="other.example"))), (1, 1))

    def test_the_policy_is_the_last_that_was_seen(self) -> None:
        self.see(evaluation("pass", "none"))
        self.see(evaluation("pass", "reject"))
        found = observed.observed(self.database.connection, TODAY, "sender.example", 3)
        assert found is not None
        self.assertEqual(found.published.policy, "reject")
        self.assertEqual(len(found.records), 2)

    def test_days_are_apart(self) -> None:
        self.see()
        self.clock.advance(DAY)
        self.see()
        self.assertEqual((len(self.counts()), len(self.counts(TODAY + 1))), (1, 1))
        observed.forget(self.database.connection, TODAY + 1)
        self.assertEqual((self.counts(), len(self.counts(TODAY + 1))), ([], 1))

    def test_a_domain_has_so_many_records(self) -> None:
        for n in range(1, 7):
            for _ in range(n):
                self.see(address=f"192.0.2.{n}")
        found = observed.observed(self.database.connection, TODAY, "sender.example", 3)
        assert found is not None
        self.assertTrue(found.truncated)
        (rows,) = self.database.connection.execute("SELECT count(*) FROM observed").fetchone()
        self.assertEqual((len(found.records), rows), (3, 4))

    def test_a_day_has_so_many_domains(self) -> None:
        self.patch(observed, "MAX_DOMAINS", 2)
        for n in range(4):
            observed.count(self.database.connection, TODAY, evolve(PUBLISHED, domain=f"{n}.example"), RECORD, 3)
        observed.count(self.database.connection, TODAY, evolve(PUBLISHED, domain="0.example"), RECORD, 3)
        self.assertEqual(
            [(policy.domain, n) for policy, n in observed.domains(self.database.connection, TODAY)],
            [("0.example", 2), ("1.example", 1)],
        )

    def test_a_record_comes_back_as_it_was(self) -> None:
        observed.count(self.database.connection, TODAY, PUBLISHED, RECORD, 3)
        found = observed.observed(self.database.connection, TODAY, "sender.example", 3)
        self.assertEqual(found, observed.Observed(PUBLISHED, (RECORD,)))
