"""How many attempts a site gets at the same time: more with each that reaches it, fewer with each that does not."""

from __future__ import annotations

from mailgw.queue.item import Delivered, Destination
from mailgw.queue.store import QueueSize
from tests.queue.items import RELAY, entry
from tests.queue.scheduling import DOWN, NEVER, OTHER, SchedulerCase, number

THERE = Delivered("there")


class FeedbackTests(SchedulerCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_scheduler(site_start=2)
        self.agent.answer = lambda delivery: None
        self.scheduler.start()

    def growth(self, rounds: int) -> list[int]:
        """End a round of attempts after the other; give how many there were in each."""
        found = []
        for _ in range(rounds):
            found.append(len(self.agent.under_way))
            self.agent.end(THERE, count=found[-1])
        return found

    def test_a_site_of_the_world_starts_with_two_and_doubles(self) -> None:
        self.offer(*(entry(number(n)) for n in range(100)))
        self.assertEqual(self.growth(5), [2, 4, 8, 10, 10])

    def test_a_route_starts_with_all(self) -> None:
        route = Destination("relay", "route:smart")
        self.offer(*(entry(number(n), (route,)) for n in range(100)))
        self.assertEqual(self.growth(2), [10, 10])

    def test_a_refusal_of_a_message_is_an_answer(self) -> None:
        self.offer(*(entry(number(n), reverse_path=None) for n in range(100)))
        self.agent.end(NEVER, count=2)
        self.assertEqual(len(self.agent.under_way), 4)

    def test_one_that_fails_among_others_takes_one_away_and_pauses_nothing(self) -> None:
        """A site that is full refuses the session that is one too many; the others are as good as before."""
        self.offer(*(entry(number(n)) for n in range(200)))
        self.growth(4)
        self.agent.end(DOWN, count=2)
        self.assertEqual(len(self.agent.under_way), 8)
        self.agent.end(THERE)
        self.assertEqual(len(self.agent.under_way), 9)

    def test_a_round_that_fails_pauses_the_site(self) -> None:
        self.offer(*(entry(number(n)) for n in range(200)))
        self.growth(4)
        attempts = len(self.agent.attempts)
        self.agent.end(DOWN, count=10)
        self.assertEqual(self.agent.under_way, {})
        self.assertEqual(len(self.agent.attempts), attempts)
        self.clock.advance(300.0)
        self.assertEqual(self.growth(5), [1, 2, 4, 8, 10])

    def test_a_site_that_goes_away_is_left_alone_after_less_than_a_round(self) -> None:
        self.offer(*(entry(number(n)) for n in range(200)))
        self.growth(4)
        attempts = len(self.agent.attempts)
        self.agent.answer = lambda delivery: DOWN
        self.agent.end(DOWN, count=10)
        self.assertLessEqual(len(self.agent.attempts) - attempts, 10)

    def test_what_recovers_between_failures_is_never_paused(self) -> None:
        self.offer(*(entry(number(n)) for n in range(200)))
        self.growth(4)
        for _ in range(20):
            self.agent.end(DOWN)
            self.agent.end(THERE)
        self.assertEqual(len(self.agent.under_way), 10)


class OutageTests(SchedulerCase):
    def test_a_dead_site_of_1000_messages_costs_one_attempt_a_pause(self) -> None:
        self.make_scheduler(site_start=2)
        self.agent.answer = lambda delivery: DOWN if delivery.destination == RELAY else THERE
        self.put(*(entry(number(n), due=1000.0) for n in range(1000)))
        self.scheduler.start()
        at = [self.clock.seconds()]
        for _ in range(7200):
            self.clock.advance(1.0)
            at += [self.clock.seconds()] * (len(self.agent.attempts) - len(at))
        self.assertEqual(at, [1000.0, 1300.0, 1900.0, 2800.0, 4600.0, 6400.0, 8200.0])
        self.offer(entry(number(9999), (OTHER,)))
        self.assertEqual(self.agent.attempts[-1][0], number(9999))

    def test_at_most_two_at_once_when_it_is_silent(self) -> None:
        self.make_scheduler(site_start=2)
        self.agent.answer = lambda delivery: None
        self.put(*(entry(number(n), due=1000.0) for n in range(1000)))
        self.scheduler.start()
        probes = []
        for _ in range(4):
            probes.append(len(self.agent.under_way))
            self.agent.end(DOWN, count=probes[-1])
            self.clock.advance(1800.0)
        self.assertEqual(probes, [2, 1, 1, 1])

    def test_after_an_outage_sites_do_not_come_back_at_once(self) -> None:
        """A hundred sites failed in the same second: each is tried again with one message, spread over a minute."""
        self.make_scheduler(site_start=2, jitter=0.1, concurrency=1000)
        sites = [Destination("relay", f"mx:{n}.example") for n in range(100)]
        self.put(*(entry(number(n), (sites[n % 100],), due=1000.0) for n in range(1000)))
        self.agent.answer = lambda delivery: DOWN
        self.scheduler.start()
        self.assertEqual(len(self.agent.attempts), 100)
        self.agent.answer = lambda delivery: None
        most, before = 0, 100
        for _ in range(330):
            self.clock.advance(1.0)
            most, before = max(most, len(self.agent.attempts) - before), len(self.agent.attempts)
        self.assertLess(most, 10)
        self.assertEqual(before, 200)
        while self.agent.under_way:
            self.agent.end(count=1)
            self.clock.advance(10.0)
        self.assertEqual(self.size(), QueueSize(0, 0))
