"""What hosts did lately."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.reception.history import MemoryHistory

DAY = 86400.0


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.history = MemoryHistory(self.clock)

    def note(self, outcomes: str, host: str = "192.0.2.1") -> None:
        """`+` for a fine message, `-` for something wrong."""
        for outcome in outcomes:
            self.history.note(host, outcome == "+")

    def test_it_is_good_after_some_fine_messages(self) -> None:
        self.note("+" * 9)
        self.assertFalse(self.history.is_good("192.0.2.1"))
        self.note("++")
        self.assertTrue(self.history.is_good("192.0.2.1"))
        self.assertFalse(self.history.is_good("192.0.2.2"))

    def test_something_wrong_undoes_much(self) -> None:
        self.note("+" * 12 + "-")
        self.assertFalse(self.history.is_good("192.0.2.1"))

    def test_a_large_sender_may_have_a_little_spam_but_not_much(self) -> None:
        self.note(("+" * 19 + "-") * 50 + "++++++++", "large")
        self.assertTrue(self.history.is_good("large"))
        self.note("+-+" * 200, "spammer")
        self.assertFalse(self.history.is_good("spammer"))

    def test_it_fades(self) -> None:
        self.note("+" * 1000)
        self.clock.advance(10 * DAY)
        self.assertTrue(self.history.is_good("192.0.2.1"))
        self.clock.advance(10 * DAY)
        self.assertFalse(self.history.is_good("192.0.2.1"))

    def test_memory_is_bounded_and_the_bad_take_none(self) -> None:
        self.history = MemoryHistory(self.clock, capacity=50)
        for number in range(1000):
            self.note("-", f"bad {number}")
        self.assertEqual(len(self.history), 0)
        for number in range(1000):
            self.note("+", f"good {number}")
        self.assertEqual(len(self.history), 50)
