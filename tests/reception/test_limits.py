"""Session counts and error counts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits
from mailgw.reception.limits import ErrorCount, SessionCount


class SessionCountTests(SynchronousTestCase):
    def test_a_share_is_kept_for_submission(self) -> None:
        count = SessionCount(Limits(connections=10, submission_reserve=3))
        taken = sum(count.enter("mx") for _ in range(20))
        self.assertEqual(taken, 7)
        self.assertEqual(sum(count.enter("submission") for _ in range(20)), 3)
        self.assertFalse(count.enter("mx"))

    def test_submission_may_use_more_than_its_share(self) -> None:
        count = SessionCount(Limits(connections=10, submission_reserve=3))
        self.assertEqual(sum(count.enter("submission") for _ in range(20)), 10)

    def test_a_place_that_was_left_is_free_again(self) -> None:
        count = SessionCount(Limits(connections=2, submission_reserve=1))
        self.assertTrue(count.enter("mx"))
        self.assertFalse(count.enter("mx"))
        count.leave("mx")
        self.assertTrue(count.enter("mx"))


class ErrorCountTests(SynchronousTestCase):
    def test_delay_begins_behind_the_soft_limit(self) -> None:
        count = ErrorCount(Limits(soft_errors=2))
        delays = []
        for _ in range(4):
            count.errors += 1
            delays.append(count.delay > 0)
        self.assertEqual(delays, [False, False, True, True])

    def test_each_limit_ends_the_session_with_its_reason(self) -> None:
        limits = Limits(hard_errors=3, unknown_recipients=2, auth_failures=1)
        self.assertEqual(ErrorCount(limits).exhausted, "")
        self.assertIn("errors", ErrorCount(limits, errors=3).exhausted)
        self.assertIn("recipients", ErrorCount(limits, unknown_recipients=2).exhausted)
        self.assertIn("logins", ErrorCount(limits, auth_failures=1).exhausted)
