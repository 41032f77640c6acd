"""That DANE is off, for want of a resolver that validates, is said once."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.tls.watch import INTERVAL, DaneWatch
from tests.fakes import FAIL, FakeResolver


class DaneWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.resolver = FakeResolver({"org": {"SOA": ["ns.example"]}})
        self.events: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.watch = DaneWatch(self.resolver, self.clock)
        self.addCleanup(self.watch.stop)

    def observe(self, event: dict[str, Any]) -> None:
        if str(event.get("event")).startswith("dane_"):
            self.events.append(f"{event['event']} {event['log_level'].name}")

    def test_said_at_the_start_and_not_again(self) -> None:
        self.watch.start()
        self.assertEqual(self.events, ["dane_off warn"])
        self.clock.pump([INTERVAL] * 24)
        self.assertEqual(self.events, ["dane_off warn"])
        self.assertEqual(len(self.resolver.asked), 25)

    def test_nothing_to_say(self) -> None:
        self.resolver.authenticated = True
        self.watch.start()
        self.assertEqual(self.events, [])

    def test_when_it_changes(self) -> None:
        self.resolver.authenticated = True
        self.watch.start()
        for authenticated in (False, True):
            self.resolver.authenticated = authenticated
            self.clock.advance(INTERVAL)
        self.assertEqual(self.events, ["dane_off warn", "dane_on info"])

    def test_no_answer_says_nothing(self) -> None:
        self.resolver.set("org", FAIL)
        self.watch.start()
        self.assertEqual(self.events, [])

    def test_while_it_is_wanted(self) -> None:
        wanted = False
        watch = DaneWatch(self.resolver, self.clock, lambda: wanted)
        self.addCleanup(watch.stop)
        watch.start()
        self.assertEqual((self.events, self.resolver.asked), ([], []))
        wanted = True
        self.clock.advance(INTERVAL)
        self.assertEqual(self.events, ["dane_off warn"])

    def test_stopped_while_it_asks(self) -> None:
        self.resolver.silent = True
        self.watch.start()
        self.watch.stop()
        self.assertEqual((self.events, self.clock.getDelayedCalls()), ([], []))
