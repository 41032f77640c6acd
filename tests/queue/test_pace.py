"""So many in a period, spread over it; and what [sites] names."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import SiteRule
from mailgw.queue.item import Delivered
from mailgw.queue.pace import Pace
from mailgw.queue.siterules import SiteRules
from tests.queue.items import RELAY, as_bulk, entry
from tests.queue.scheduling import DOWN, LATER, OTHER, SchedulerCase, number


class PaceTests(SynchronousTestCase):
    def taken(self, pace: Pace, start: float, end: float) -> int:
        """Take whenever one may be; give how many there were."""
        now, count = start, 0
        while now < end:
            wait = pace.wait(now)
            if wait:
                now += wait
                continue
            pace.take(now)
            count += 1
        return count

    def test_as_many_as_are_said(self) -> None:
        pace = Pace(100, 60.0)
        first = self.taken(pace, 0.0, 60.0)
        self.assertTrue(100 <= first <= 111, first)
        for start in (60.0, 120.0):
            self.assertTrue(99 <= self.taken(pace, start, start + 60.0) <= 101)

    def test_a_rest_gives_a_tenth_at_once(self) -> None:
        pace = Pace(100, 60.0)
        self.taken(pace, 0.0, 60.0)
        count = 0
        while not pace.wait(4000.0):
            pace.take(4000.0)
            count += 1
        self.assertEqual(count, 10)

    def test_a_clock_that_is_set_back(self) -> None:
        pace = Pace(1, 60.0)
        pace.take(1000.0)
        self.assertAlmostEqual(pace.wait(500.0), 60.0)
        self.assertEqual(pace.wait(560.5), 0.0)


class SiteRulesTests(SynchronousTestCase):
    def setUp(self) -> None:
        names = ("mx1.big.example", "*.big.example", "route:smart", "*")
        self.rules = SiteRules({name: SiteRule(concurrency=n) for n, name in enumerate(names, 1)})

    def test_the_first_that_fits(self) -> None:
        for site, place in (
            ("mx:mx1.big.example,mx2.big.example", 1),
            ("mx:a.other.example,mx2.BIG.example", 2),
            ("mx:mx9.big.example;verified", 2),
            ("mx:big.example", 4),
            ("route:smart", 3),
            ("route:smarter", 4),
            ("maildir:alice@example.org/inbox", 0),
        ):
            self.assertEqual(self.rules.of(site).concurrency, place, site)

    def test_without_rules(self) -> None:
        self.assertEqual(SiteRules({}).of("mx:a.example"), SiteRule())


class RuledSiteTests(SchedulerCase):
    """The fake agent names a site by its destination's target."""

    def make(self, pattern: str = "*", **rule: Any) -> None:
        self.make_scheduler(rules={pattern: SiteRule(**rule)})
        self.scheduler.start()

    def test_messages_are_spread_over_the_period(self) -> None:
        self.agent.answer = lambda delivery: Delivered("there")
        self.make(messages=10, period=60.0)
        self.offer(*(entry(number(n)) for n in range(30)))
        self.assertEqual(len(self.agent.attempts), 1)
        self.clock.pump([1.0] * 61)
        self.assertTrue(10 <= len(self.agent.attempts) <= 12, len(self.agent.attempts))
        self.clock.pump([1.0] * 130)
        self.assertEqual(len(self.agent.attempts), 30)

    def test_others_do_not_wait_for_a_site_with_a_rate(self) -> None:
        self.agent.answer = lambda delivery: Delivered("there")
        self.make(RELAY.target.removeprefix("mx:"), messages=1, period=60.0)
        self.offer(*(entry(number(n)) for n in range(5)))
        self.offer(*(entry(number(n), (OTHER,)) for n in range(10, 15)))
        self.assertEqual(len(self.agent.attempts), 6)

    def test_concurrency(self) -> None:
        self.agent.answer = lambda delivery: None
        self.make(concurrency=3)
        self.offer(*(entry(number(n)) for n in range(9)))
        self.assertEqual(len(self.agent.under_way), 3)

    def test_a_schedule_of_its_own(self) -> None:
        self.agent.answer = lambda delivery: LATER
        self.make(retry=(7.0, 11.0))
        self.offer(entry(number(1)))
        self.assertEqual([delivery.due for delivery in self.deliveries()], [1007.0])
        self.clock.advance(7.0)
        self.assertEqual([delivery.due for delivery in self.deliveries()], [1018.0])

    def test_a_pause_by_its_schedule(self) -> None:
        self.agent.answer = lambda delivery: DOWN
        self.make(retry=(7.0,))
        self.offer(entry(number(1)))
        self.agent.answer = lambda delivery: Delivered("there")
        self.clock.advance(7.0)
        self.assertEqual(self.size().messages, 0)

    def test_a_lifetime_of_its_own(self) -> None:
        self.agent.answer = lambda delivery: LATER
        self.make(lifetime=400.0)
        self.offer(entry(number(1), due=1000.0, expires=1e6))
        self.clock.pump([100.0] * 3)
        self.assertEqual(self.reporter.told, [])
        self.clock.advance(100.0)
        self.assertEqual(self.reporter.told[0][0], number(1))

    def test_a_schedule_for_bulk(self) -> None:
        self.agent.answer = lambda delivery: LATER
        self.make_scheduler(retry=(100.0,), bulk_retry=(1000.0,))
        self.scheduler.start()
        self.offer(entry(number(1)), as_bulk(entry(number(2))))
        self.assertEqual([delivery.due for delivery in self.deliveries()], [1100.0, 2000.0])

    def test_stopping_leaves_no_timer(self) -> None:
        self.make(messages=1, period=60.0)
        self.agent.answer = lambda delivery: Delivered("there")
        self.offer(entry(number(1)), entry(number(2)))
        self.successResultOf(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
