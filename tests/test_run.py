"""The line that counts the tests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.run import count


class CountTest(SynchronousTestCase):
    def test_all_passed(self) -> None:
        self.assertEqual(count("Ran 3 tests in 0.1s\n\nPASSED (successes=3)\n", 0), (3, 0, 0))

    def test_every_kind(self) -> None:
        summary = "FAILED (skips=2, expectedFailures=1, failures=3, errors=4, unexpectedSuccesses=5, successes=6)"
        self.assertEqual(count(f"...\n{summary}\n", 1), (7, 12, 2))

    def test_last_summary_counts(self) -> None:
        """A test may print one of its own."""
        self.assertEqual(count("FAILED (failures=1)\n...\nPASSED (successes=9)\n", 0), (9, 0, 0))

    def test_broken_off(self) -> None:
        self.assertEqual(count("Segmentation fault\n", -11), (0, 1, 0))
        self.assertEqual(count("PASSED (successes=9)\n", 1), (9, 1, 0))

    def test_nothing_ran(self) -> None:
        self.assertEqual(count("Ran 0 tests in 0.0s\n\nPASSED\n", 0), (0, 0, 0))
