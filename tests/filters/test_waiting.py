"""Coroutines that end at once, and limits of time."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.waiting import Finished, TimeLimit, limited, start


async def add(*waits: Deferred[int] | int) -> int:
    return sum([await wait if isinstance(wait, Deferred) else wait for wait in waits])


class StartTests(SynchronousTestCase):
    def test_what_does_not_wait_is_finished(self) -> None:
        fired: Deferred[int] = Deferred()
        fired.callback(2)
        self.assertEqual(start(add(1, fired)), Finished(3))

    def test_what_raises_at_once_raises(self) -> None:
        with self.assertRaises(TypeError):
            start(add("x"))  # type: ignore[arg-type]  # the error is wanted

    def test_what_waits_goes_on_with_every_result(self) -> None:
        waits: list[Deferred[int]] = [Deferred(), Deferred(), Deferred()]
        result = start(add(*waits))
        assert isinstance(result, Deferred)
        waits[0].callback(1)
        waits[2].callback(4)
        self.assertNoResult(result)
        waits[1].callback(2)
        self.assertEqual(self.successResultOf(result), 7)

    def test_a_failure_is_raised_where_it_was_awaited(self) -> None:
        waits: list[Deferred[int]] = [Deferred(), Deferred()]

        async def careful() -> str:
            try:
                await waits[0]
            except ValueError as error:
                return f"{error} {await waits[1]}"
            return ""

        result = start(careful())
        assert isinstance(result, Deferred)
        waits[0].errback(ValueError("no"))
        waits[1].callback(5)
        self.assertEqual(self.successResultOf(result), "no 5")

    def test_cancelling_reaches_what_is_awaited(self) -> None:
        wait: Deferred[int] = Deferred()
        result = start(add(wait))
        assert isinstance(result, Deferred)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertTrue(wait.called)


class LimitedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner: Deferred[int] = Deferred()
        self.outer = limited(self.inner, 3.0, self.clock)

    def test_a_result_in_time(self) -> None:
        self.clock.advance(2.9)
        self.inner.callback(1)
        self.assertEqual(self.successResultOf(self.outer), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_failure_in_time(self) -> None:
        self.inner.errback(ValueError())
        self.failureResultOf(self.outer, ValueError)

    def test_no_result_in_time(self) -> None:
        self.clock.advance(3.0)
        self.failureResultOf(self.outer, TimeLimit)
        self.assertTrue(self.inner.called)

    def test_cancelling_cancels_the_first_and_the_timer(self) -> None:
        self.outer.cancel()
        self.failureResultOf(self.outer, CancelledError)
        self.assertTrue(self.inner.called)
        self.assertEqual(self.clock.getDelayedCalls(), [])
