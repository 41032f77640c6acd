"""The wall clock is set back by an hour: the reactor's timers come an hour later then, mail need not."""

from __future__ import annotations

from mailgw.queue.item import Delivered
from tests.queue.items import entry
from tests.queue.test_scheduler import DOWN, OTHER, SchedulerCase, number

HOUR = 3600.0


class ClockSetBackTests(SchedulerCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(10 * HOUR)
        self.up = False
        self.agent.answer = lambda delivery: Delivered("there") if self.up or delivery.destination == OTHER else DOWN
        self.make_scheduler(retry=(300.0,))
        self.scheduler.start()

    def set_back(self) -> None:
        self.clock.rightNow -= HOUR

    def delivered(self, message_id: str) -> bool:
        return message_id not in {delivery.message_id for delivery in self.deliveries()}

    def test_a_pause_is_no_longer_for_it(self) -> None:
        self.offer(entry(number(1)))
        self.set_back()
        self.up = True
        self.offer(entry(number(2), due=self.clock.seconds()))
        self.assertTrue(self.delivered(number(2)))

    def test_mail_for_others_ends_the_pause_too(self) -> None:
        self.offer(entry(number(1)))
        self.offer(entry(number(2)))  # parked, and never attempted: it is due all the time
        self.set_back()
        self.up = True
        self.offer(entry(number(3), (OTHER,)))
        self.assertTrue(self.delivered(number(2)))

    def test_a_site_that_is_still_down_is_left_alone_again(self) -> None:
        self.offer(entry(number(1)))
        self.set_back()
        self.offer(*(entry(number(n)) for n in range(2, 30)))
        self.assertEqual(len(self.agent.attempts), 2)
        self.clock.advance(400.0)
        self.assertLess(len(self.agent.attempts), 5)

    def test_a_store_that_failed_is_asked_again(self) -> None:
        self.put(entry(number(1), (OTHER,)))
        self.store.broken = "the disk is gone"
        self.clock.advance(301.0)  # finds it, and cannot read
        self.assertEqual(self.agent.attempts, [])
        self.store.broken = ""
        self.set_back()
        self.offer(entry(number(2), (OTHER,)))
        self.assertTrue(self.delivered(number(1)))
