"""Quarantine: how a held delivery stands in the queue, and what becomes of it."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.queue.item import Destination, Discarded
from mailgw.queue.quarantine import QuarantineAgent, hold, is_held, release
from tests.queue.items import entry

DESTINATIONS = (
    Destination("maildir", "alice@example.org", "inbox"),
    Destination("maildir", "alice@example.org", "spam"),
    Destination("relay", "mx:example.net"),
    Destination("relay", "route:smart"),
    Destination("alias", "all@example.org"),
)


class QuarantineTests(SynchronousTestCase):
    def test_held_and_released_it_goes_where_it_was_going(self) -> None:
        for destination in DESTINATIONS:
            delivery = evolve(entry().deliveries[0], destination=destination, attempts=2, last="x")
            held = hold(delivery, 5000.0)
            self.assertTrue(is_held(held))
            self.assertEqual(Destination.parse(str(held.destination)), held.destination)
            self.assertEqual((held.due, held.expires), (5000.0, 5000.0))
            released = release(held, 1000.0, 60.0)
            self.assertFalse(is_held(released))
            self.assertEqual(released.destination, destination)
            self.assertEqual((released.due, released.expires, released.attempts), (1000.0, 1060.0, 0))

    def test_what_nobody_released_is_thrown_away(self) -> None:
        message = entry().message
        deliveries = [hold(delivery, 1.0) for delivery in entry().deliveries]
        outcomes = self.successResultOf(Deferred.fromCoroutine(QuarantineAgent().deliver(message, deliveries)))
        self.assertEqual([type(outcome) for outcome in outcomes], [Discarded])
