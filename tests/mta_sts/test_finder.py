"""Which policy holds: what is announced, fetched, kept, and goes on when it cannot be had (RFC 8461 3.3, 5.1, 10.2)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mta_sts.fetching import FetchError
from mailgw.mta_sts.finder import MAX_FETCHES, REFRESH_AFTER, RETRY_AFTER, PolicyFinder, Standing
from mailgw.mta_sts.refreshing import Refresher
from tests.fakes import FAIL, FakeResolver
from tests.mta_sts.case import POLICY, MemoryStore, Web

DOMAIN = "example.org"
RECORD = f"_mta-sts.{DOMAIN}"
DAY = 86400.0


class FinderTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver()
        self.web = Web()
        self.store = MemoryStore()
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.finder = self.worker()
        self.announce("1")

    def worker(self) -> PolicyFinder:
        return PolicyFinder(self.resolver, self.web, self.store, self.clock)

    def announce(self, id: str, domain: str = DOMAIN) -> None:
        self.resolver.set(f"_mta-sts.{domain}", {"TXT": [f"v=STSv1; id={id}"]} if id else {})

    def asking(self, domain: str = DOMAIN, **how: Any) -> Deferred[Standing]:
        return Deferred.fromCoroutine(self.finder.find(domain, **how))

    def find(self, **how: Any) -> Standing:
        return self.successResultOf(self.asking(**how))

    def mode(self, **how: Any) -> str:
        policy = self.find(**how).policy
        return policy.mode if policy else ""


class FetchingTests(FinderTestCase):
    def test_nothing_announced(self) -> None:
        self.announce("")
        self.assertEqual(self.find(), Standing())
        self.assertEqual(self.web.urls, [])

    def test_announced_and_fetched_once(self) -> None:
        self.assertEqual(self.mode(), "enforce")
        self.clock.advance(DAY / 2)
        self.assertEqual(self.mode(), "enforce")
        self.assertEqual(self.web.urls, [f"https://mta-sts.{DOMAIN}/.well-known/mta-sts.txt"])

    def test_another_id_is_fetched_at_once(self) -> None:
        self.find()
        self.announce("2")
        self.web.answer = POLICY.replace(b"enforce", b"testing")
        self.assertEqual(self.mode(), "testing")
        self.assertEqual(self.store.kept[DOMAIN].id, "2")

    def test_none_takes_it_back(self) -> None:
        """RFC 8461 8.3."""
        self.find()
        self.announce("2")
        self.web.answer = b"version: STSv1\nmode: none\nmax_age: 86400\n"
        self.assertEqual(self.mode(), "")
        self.find()
        self.assertEqual(len(self.web.urls), 2)

    def test_who_asks_meanwhile_shares_the_answer(self) -> None:
        self.web.answer = None
        asking = [self.asking() for _ in range(3)]
        asking[0].addErrback(lambda _: None)
        asking[0].cancel()  # who asked first gives up: it goes on for the others
        self.web.give()
        for waiter in asking[1:]:
            self.assertIsNotNone(self.successResultOf(waiter).policy)
        self.assertEqual(len(self.web.urls), 1)

    def test_a_policy_that_ends_at_once_is_not_fetched_for_each_message(self) -> None:
        self.web.answer = POLICY.replace(b"604800", b"0")
        for _ in range(5):
            self.assertEqual(self.mode(), "enforce")
            self.clock.advance(10)
        self.assertEqual(len(self.web.urls), 1)
        self.clock.advance(11)
        self.find()
        self.assertEqual(len(self.web.urls), 2)

    def test_not_too_many_at_once(self) -> None:
        self.web.answer = None
        for number in range(MAX_FETCHES):
            self.announce("1", f"d{number}.example")
            self.asking(f"d{number}.example")
        standing = self.find()
        self.assertEqual((standing.policy, standing.problem and standing.problem.kind), (None, "busy"))
        self.web.give()
        self.web.answer = POLICY
        self.assertEqual(self.mode(), "enforce")

    def test_without_waiting(self) -> None:
        self.web.answer = None
        self.assertEqual(self.find(wait=False), Standing())

    def test_the_gateway_stops(self) -> None:
        self.web.answer = None
        asking = self.asking()
        self.finder.stop()
        self.assertIsNone(self.successResultOf(asking).policy)


class TroubleTests(FinderTestCase):
    """RFC 8461 3.3: what is kept goes on, and without it mail goes as if there were nothing."""

    def assertTrouble(self, kind: str, mode: str) -> None:
        standing = self.find()
        self.assertEqual(standing.policy.mode if standing.policy else "", mode)
        self.assertEqual(standing.problem and standing.problem.kind, kind)

    def test_the_policy_before_goes_on(self) -> None:
        self.find()
        self.announce("2")
        for answer, kind in (
            (FetchError("no"), "fetch"),
            (FetchError("no", webpki=True), "webpki"),
            (b"hello", "invalid"),
        ):
            self.web.answer = answer
            self.assertTrouble(kind, "enforce")
            self.clock.advance(RETRY_AFTER + 1)
        self.resolver.set(RECORD, FAIL)
        self.assertTrouble("dns", "enforce")
        self.clock.advance(61)
        self.resolver.set(RECORD, {"TXT": ["v=STSv1; id=1", "v=STSv1; id=2"]})
        self.assertTrouble("record", "enforce")
        self.announce("")
        self.assertEqual(self.mode(), "enforce")

    def test_silent_dns_holds_mail_up_once_a_minute(self) -> None:
        self.find()
        self.resolver.set(RECORD, FAIL)
        asked = len(self.resolver.asked)
        self.assertTrouble("dns", "enforce")
        self.clock.advance(50)
        self.assertTrouble("dns", "enforce")
        self.assertEqual(len(self.resolver.asked), asked + 1)
        self.announce("2")
        self.clock.advance(15)
        self.web.answer = POLICY.replace(b"enforce", b"testing")
        self.assertEqual(self.mode(), "testing")

    def test_a_policy_of_the_future(self) -> None:
        """The clock was wrong when it was fetched: it does not hold for years."""
        self.find()
        self.clock.rightNow -= 100_000
        self.web.answer = POLICY.replace(b"enforce", b"testing")
        self.assertEqual(self.mode(), "testing")

    def test_until_it_ends(self) -> None:
        self.find()
        self.announce("2")
        self.web.answer = FetchError("no")
        self.clock.advance(604800 - 1)
        self.assertEqual(self.mode(), "enforce")
        self.clock.advance(2)
        self.assertEqual(self.mode(), "")

    def test_nothing_before(self) -> None:
        self.web.answer = FetchError("no")
        self.assertTrouble("fetch", "")

    def test_not_asked_for_again_for_some_minutes(self) -> None:
        self.web.answer = FetchError("no")
        self.find()
        self.web.answer = POLICY
        self.clock.advance(RETRY_AFTER - 1)
        self.assertTrouble("fetch", "")
        self.assertEqual(len(self.web.urls), 1)
        self.clock.advance(2)
        self.assertEqual(self.mode(), "enforce")

    def test_but_another_id_is(self) -> None:
        self.web.answer = FetchError("no")
        self.find()
        self.announce("2")
        self.web.answer = POLICY
        self.assertEqual(self.mode(), "enforce")

    def test_a_fetcher_with_a_defect(self) -> None:
        self.web.answer = RuntimeError("oops")
        self.assertTrouble("fetch", "")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_no_disk(self) -> None:
        self.store.broken = True
        self.assertEqual(self.mode(), "enforce")
        self.clock.advance(3600)
        self.announce("")
        self.assertEqual(self.mode(), "enforce")  # this process remembers it

    def test_a_full_disk(self) -> None:
        """What could not be written is not forgotten, and written when there is room again."""
        self.store.full = True
        self.assertEqual(self.mode(), "enforce")
        self.announce("")
        for _ in range(3):
            self.clock.advance(61)
            self.assertEqual(self.mode(), "enforce")
        self.store.full = False
        self.clock.advance(61)
        self.find()
        self.assertIn(DOMAIN, self.store.kept)


class KeptTests(FinderTestCase):
    def test_a_restart_forgets_nothing(self) -> None:
        self.find()
        self.finder = self.worker()
        self.resolver.set(RECORD, FAIL)
        self.assertEqual(self.mode(), "enforce")
        self.assertEqual(len(self.web.urls), 1)

    def test_what_another_worker_has_fetched(self) -> None:
        self.announce("")
        self.find()
        other = self.worker()
        self.announce("1")
        self.successResultOf(Deferred.fromCoroutine(other.find(DOMAIN)))
        self.announce("")
        self.clock.advance(61)
        self.assertEqual(self.mode(), "enforce")

    def test_forgotten_by_the_command_line(self) -> None:
        self.find()
        self.store.kept.clear()
        self.web.answer = POLICY.replace(b"enforce", b"testing")
        self.clock.advance(61)
        self.assertEqual(self.mode(), "testing")

    def test_refreshed_once_a_day_by_mail(self) -> None:
        self.find()
        self.clock.advance(REFRESH_AFTER + 1)
        self.web.answer = None
        self.assertEqual(self.mode(), "enforce")  # mail does not wait for it
        self.web.give()
        self.clock.advance(604800 - 1)
        self.assertEqual(self.mode(), "enforce")

    def test_in_doubt_it_is_fetched_though_its_id_is_the_same(self) -> None:
        self.find()
        self.find(doubt=True)
        self.assertEqual(len(self.web.urls), 1)
        self.clock.advance(601)
        self.web.answer = POLICY.replace(b"mx.example.org", b"new.example.org")
        standing = self.find(doubt=True)
        assert standing.policy is not None
        self.assertTrue(standing.policy.names("new.example.org"))


class RefresherTests(FinderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.find()
        self.refresher = Refresher(self.finder, self.store, self.clock)
        self.refresher.start()
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(self.refresher.stop())))

    def pass_days(self, days: int) -> None:
        for _ in range(4 * days):
            self.clock.advance(DAY / 4)

    def test_what_nobody_wrote_to_for_weeks_is_held(self) -> None:
        """RFC 8461 10.2: who holds back the record at the right moment wins nothing."""
        self.pass_days(20)
        self.resolver.set(RECORD, FAIL)
        self.assertEqual(self.mode(), "enforce")

    def test_what_is_out_of_use_is_left(self) -> None:
        self.pass_days(40)
        fetched = len(self.web.urls)
        self.pass_days(10)
        self.assertEqual(len(self.web.urls), fetched)

    def test_what_is_no_longer_announced_ends(self) -> None:
        self.announce("")
        self.pass_days(8)
        self.assertEqual(self.mode(), "")

    def test_no_disk(self) -> None:
        self.store.broken = True
        self.pass_days(2)
        self.store.broken = False
        self.pass_days(1)
        self.assertGreater(self.store.kept[DOMAIN].fetched, 1_000_000 + DAY)

    def test_it_stops_in_the_middle(self) -> None:
        self.web.answer = None
        self.pass_days(2)
        self.successResultOf(Deferred.fromCoroutine(self.refresher.stop()))
        self.finder.stop()
