"""The runner: what comes of filters that work, fail, hang and are cancelled."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.base import FilterSettings, Undecided
from mailgw.filters.runner import FilterRunner, RunResult
from mailgw.mail.evidence import Evidence
from mailgw.mail.reply import TemporaryFailure
from mailgw.mail.transaction import Transaction
from tests.filters.support import StubFilter, make_transaction

STUB = Evidence("STUB", "seen")


class RunnerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.transaction = make_transaction()

    def start(self, *filters: Any) -> Deferred[RunResult]:
        return Deferred.fromCoroutine(FilterRunner(filters, self.clock).run(self.transaction))

    def symbols(self, transaction: Transaction | None = None) -> list[tuple[str, str]]:
        return [(e.symbol, e.source) for e in (transaction or self.transaction).evidence]

    def test_evidence_gets_the_name_of_its_filter(self) -> None:
        run = self.start(StubFilter("one", [STUB]), StubFilter("two", [Evidence("B", source="elsewhere")]))
        self.assertEqual(self.successResultOf(run), RunResult())
        self.assertEqual(self.symbols(), [("STUB", "one"), ("B", "elsewhere")])

    def test_no_timer_is_left(self) -> None:
        wait: Deferred[None] = Deferred()
        run = self.start(StubFilter(wait=wait))
        wait.callback(None)
        self.successResultOf(run)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_filters_run_at_the_same_time(self) -> None:
        waits: list[Deferred[None]] = [Deferred(), Deferred()]
        filters = [StubFilter(f"f{n}", [STUB], wait=wait) for n, wait in enumerate(waits)]
        run = self.start(*filters)
        self.assertEqual([f.calls for f in filters], [1, 1])
        waits[1].callback(None)
        self.assertNoResult(run)
        waits[0].callback(None)
        self.successResultOf(run)
        self.assertEqual(self.symbols(), [("STUB", "f1"), ("STUB", "f0")])

    def test_a_filter_that_raises_is_named_and_logged_and_the_others_count(self) -> None:
        run = self.start(StubFilter("broken", error=ValueError("secret")), StubFilter("good", [STUB]))
        self.assertEqual(self.successResultOf(run).deferring, ())
        self.assertEqual(self.symbols(), [("FILTER_ERROR", "broken"), ("STUB", "good")])
        self.assertIn("broken", self.transaction.evidence[0].detail)
        self.assertNotIn("secret", self.transaction.evidence[0].detail)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_filter_that_raises_later_is_named_and_logged(self) -> None:
        wait: Deferred[None] = Deferred()
        run = self.start(StubFilter("broken", error=ValueError("x"), wait=wait))
        wait.callback(None)
        self.successResultOf(run)
        self.assertEqual(self.symbols(), [("FILTER_ERROR", "broken")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_filter_that_gives_no_evidence_but_something_else(self) -> None:
        run = self.start(StubFilter("none", None))  # type: ignore[arg-type]  # a filter that forgets its return
        self.successResultOf(run)
        self.assertEqual(self.symbols(), [("FILTER_ERROR", "none")])
        self.flushLoggedErrors(TypeError)

    def test_a_temporary_failure_says_its_cause_and_is_no_bug(self) -> None:
        run = self.start(StubFilter("dnsbl", error=TemporaryFailure("SERVFAIL")))
        self.successResultOf(run)
        self.assertEqual(self.transaction.evidence, [Evidence("FILTER_ERROR", "dnsbl: SERVFAIL", source="dnsbl")])

    def test_on_error_defer_asks_for_it(self) -> None:
        settings = FilterSettings(on_error="defer", time_limit=2.0)
        run = self.start(
            StubFilter("a", error=TemporaryFailure("x"), settings=settings),
            StubFilter("b", wait=Deferred(), settings=settings),
            StubFilter("c", wait=Deferred()),
        )
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(run).deferring, ("a", "b"))

    def test_a_filter_that_is_undecided_defers_whatever_its_on_error_says(self) -> None:
        run = self.start(StubFilter("milter", error=Undecided("one: down", [STUB])))
        self.assertEqual(self.successResultOf(run).deferring, ("milter",))
        self.assertEqual(self.symbols(), [("FILTER_ERROR", "milter"), ("STUB", "milter")])

    def test_a_slow_filter_is_cancelled_at_its_limit_and_the_others_are_waited_for(self) -> None:
        cancelled: list[Any] = []
        slow: Deferred[None] = Deferred(cancelled.append)
        good: Deferred[None] = Deferred()
        run = self.start(
            StubFilter("slow", wait=slow, settings=FilterSettings(time_limit=2.0)),
            StubFilter("good", [STUB], wait=good),
        )
        self.clock.advance(1.9)
        self.assertEqual(cancelled, [])
        self.clock.advance(0.2)
        self.assertEqual(cancelled, [slow])
        self.assertNoResult(run)
        good.callback(None)
        self.successResultOf(run)
        self.assertEqual(self.symbols(), [("FILTER_TIMEOUT", "slow"), ("STUB", "good")])
        self.assertIn("2 s", self.transaction.evidence[0].detail)

    def test_a_filter_that_does_not_heed_its_cancellation_holds_up_nobody(self) -> None:
        never: Deferred[None] = Deferred()

        class Stubborn(StubFilter):
            async def check(self, transaction: Transaction) -> list[Evidence]:
                try:
                    await Deferred()
                except CancelledError:
                    await never
                return [STUB]

        run = self.start(Stubborn("stubborn"))
        self.clock.advance(5)
        self.successResultOf(run)
        never.callback(None)  # what it states too late does not count
        self.assertEqual(self.symbols(), [("FILTER_TIMEOUT", "stubborn")])

    def test_a_cancelled_run_cancels_its_filters_and_keeps_what_was_stated(self) -> None:
        wait: Deferred[None] = Deferred()
        run = self.start(StubFilter("good", [STUB]), StubFilter("slow", wait=wait))
        run.cancel()
        self.failureResultOf(run, CancelledError)
        self.assertTrue(wait.called)
        self.assertEqual(self.symbols(), [("STUB", "good")])
        self.assertEqual(self.clock.getDelayedCalls(), [])
