"""The runner: all filters at once, each under its time limit, so that none of them can stop the mail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.engines.errors import NotAsked
from mailgw.filters.base import Filter, Undecided
from mailgw.filters.waiting import Finished, TimeLimit, limited, start
from mailgw.mail.evidence import Evidence
from mailgw.mail.reply import TemporaryFailure
from mailgw.mail.transaction import Transaction

FILTER_ERROR = "FILTER_ERROR"
FILTER_TIMEOUT = "FILTER_TIMEOUT"
SYMBOLS: Mapping[str, float] = {FILTER_ERROR: 0.0, FILTER_TIMEOUT: 0.0}
"""What the runner itself states, with default weights: that a filter failed says nothing about the message."""


@frozen
class RunResult:
    """How a run went. The evidence is in the transaction."""

    deferring: tuple[str, ...] = ()
    """The filters that failed, or took too long, and are set to `on_error = "defer"`; and those that are undecided."""


_ALL_WELL = RunResult()


class FilterRunner:
    """Runs filters over a transaction. It outlives messages; it keeps nothing about them."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, filters: Sequence[Filter], clock: IReactorTime) -> None:
        self.filters = tuple(filters)
        self._clock = clock

    async def run(self, transaction: Transaction) -> RunResult:
        """Append every filter's evidence to the transaction, as it comes. Raises nothing.

        When it is cancelled, the filters that still run are cancelled, and the evidence so far stays.
        """
        run = _Run(transaction, self.log)
        waiting: list[tuple[Filter, Deferred[Iterable[Evidence]]]] = []
        for filter in self.filters:
            try:
                outcome = start(filter.check(transaction))
            except Exception:
                run.failed(filter, Failure())
                continue
            if isinstance(outcome, Finished):
                run.state(filter, outcome.value)
            else:
                waiting.append((filter, limited(outcome, filter.settings.time_limit, self._clock)))
        if waiting:
            await run.gather(waiting)
        return RunResult(tuple(run.deferring)) if run.deferring else _ALL_WELL


class _Run:
    """One run: what becomes of each filter's result."""

    def __init__(self, transaction: Transaction, log: Logger) -> None:
        self._transaction = transaction
        self._log = log
        self.deferring: list[str] = []

    def gather(self, waiting: Sequence[tuple[Filter, Deferred[Iterable[Evidence]]]]) -> Deferred[None]:
        """Give a Deferred that fires when each of `waiting` has ended; cancelling it cancels them."""
        left = len(waiting)

        def cancel(_: Deferred[None]) -> None:
            done.errback(CancelledError())  # before the filters': their ends are no news any more
            for _filter, deferred in waiting:
                deferred.cancel()

        def ended(result: Iterable[Evidence] | Failure, filter: Filter) -> None:
            nonlocal left
            if not done.called:  # else the run was cancelled: nobody asks any more
                if isinstance(result, Failure):
                    self.failed(filter, result)
                else:
                    self.state(filter, result)
            left -= 1
            if not left and not done.called:
                done.callback(None)

        done: Deferred[None] = Deferred(cancel)
        for filter, deferred in waiting:
            deferred.addBoth(ended, filter)
        return done

    def state(self, filter: Filter, evidence: Iterable[Evidence]) -> None:
        """Take a filter's evidence, under its name."""
        try:
            pieces = [e if e.source else evolve(e, source=filter.name) for e in evidence]
        except Exception:  # a generator that fails half way, or what is no evidence
            self.failed(filter, Failure())
            return
        self._transaction.evidence.extend(pieces)

    def failed(self, filter: Filter, failure: Failure) -> None:
        """Put a filter that did not end well on record. What it is worth stands in etc, as with all evidence."""
        ids: dict[str, Any] = {"transaction": self._transaction.id, "session": self._transaction.client.session_id}
        symbol = FILTER_ERROR
        error = failure.value
        if isinstance(error, TimeLimit):
            symbol = FILTER_TIMEOUT
            detail = f"{filter.name}: not done within {filter.settings.time_limit:g} s"
            self._log.warn("filter {filter} timed out", event="filter_timeout", filter=filter.name, **ids)
        elif isinstance(error, TemporaryFailure):
            cause = error.cause
            detail = f"{filter.name}: {cause}"
            # While an engine is down, not a warning for each message: the breaker has warned.
            log = self._log.debug if isinstance(error, NotAsked) else self._log.warn
            log("filter {filter}: {cause}", event="filter_error", filter=filter.name, cause=cause, **ids)
        else:  # our bug (design 3)
            detail = f"{filter.name}: failed with {type(error).__name__}"
            self._log.failure("filter {filter} failed", failure, event="filter_error", filter=filter.name, **ids)
        self._transaction.evidence.append(Evidence(symbol, detail, source=filter.name))
        if isinstance(error, Undecided):
            self.state(filter, error.evidence)
        if filter.settings.on_error == "defer" or isinstance(error, Undecided):
            self.deferring.append(filter.name)
