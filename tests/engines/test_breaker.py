"""The circuit breaker."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.engines.breaker import Attempt, Breaker


class BreakerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker("clamav at unix:/x", 3, 30.0, self.clock)
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def attempt(self) -> Attempt:
        attempt = self.breaker.attempt()
        assert attempt is not None
        return attempt

    def open(self) -> None:
        for _ in range(3):
            self.attempt().failed("refused")

    def logged(self) -> list[str]:
        return [e["event"] for e in self.events if e.get("event") in ("engine_down", "engine_up")]

    def test_it_opens_after_failures_in_a_row(self) -> None:
        for _ in range(2):
            self.attempt().failed("refused")
        self.attempt().succeeded()
        for _ in range(2):
            self.attempt().failed("refused")
        self.assertFalse(self.breaker.is_open)
        self.attempt().failed("no answer")
        self.assertIsNone(self.breaker.attempt())
        self.assertEqual(self.breaker.cause, "no answer")

    def test_one_probe_at_a_time_after_the_pause(self) -> None:
        self.open()
        self.clock.advance(29.9)
        self.assertIsNone(self.breaker.attempt())
        self.clock.advance(0.2)
        probe = self.attempt()
        self.assertIsNone(self.breaker.attempt())
        self.clock.advance(1000)
        self.assertIsNone(self.breaker.attempt())
        probe.succeeded()
        self.attempt()
        self.attempt()

    def test_a_failed_probe_means_another_pause(self) -> None:
        self.open()
        self.clock.advance(30)
        self.attempt().failed("refused")
        self.clock.advance(29)
        self.assertIsNone(self.breaker.attempt())
        self.clock.advance(1)
        self.attempt()

    def test_an_abandoned_probe_lets_the_next_one_try(self) -> None:
        self.open()
        self.clock.advance(30)
        self.attempt().abandoned()
        self.attempt()

    def test_late_failures_do_not_end_a_probe(self) -> None:
        late = [self.attempt() for _ in range(5)]
        self.open()
        self.clock.advance(30)
        probe = self.attempt()
        for attempt in late:
            attempt.failed("late")
        self.assertIsNone(self.breaker.attempt())
        probe.succeeded()
        self.assertFalse(self.breaker.is_open)

    def test_a_late_success_closes_it(self) -> None:
        late = self.attempt()
        self.open()
        late.succeeded()
        self.assertFalse(self.breaker.is_open)

    def test_an_attempt_ends_once(self) -> None:
        attempt = self.attempt()
        attempt.succeeded()
        for _ in range(5):
            attempt.failed("x")
        self.assertFalse(self.breaker.is_open)

    def test_each_change_is_one_line_of_the_log(self) -> None:
        self.open()
        self.clock.advance(30)
        self.attempt().failed("refused")
        self.clock.advance(30)
        self.assertEqual(self.logged(), ["engine_down"])
        self.attempt().succeeded()
        self.attempt().succeeded()
        self.assertEqual(self.logged(), ["engine_down", "engine_up"])
        down, up = (e for e in self.events if e.get("event") in ("engine_down", "engine_up"))
        self.assertEqual((down["peer"], down["cause"], down["failures"]), ("clamav at unix:/x", "refused", 3))
        self.assertEqual(up["seconds"], 60.0)
