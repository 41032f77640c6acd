"""One attempt: what the agent makes of it, and what follows for the queue and the sender."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.queue.agent import DeliveryAgent, FateObserver, Reporter
from mailgw.queue.item import Delayed, Delivered, Delivery, Discarded, Failed, Outcome, QueuedMessage, Reportable
from mailgw.queue.retry import words
from mailgw.queue.site import Job, Site
from mailgw.queue.store import Entry, Settlement


@frozen
class Attempted:
    """What became of a job. `site` is the outcome that tells how the site does; None: it was not asked.

    `untried` are deliveries whose senders are to hear now that they wait, for the trouble of their site.
    """

    results: tuple[tuple[Delivery, Outcome], ...]
    site: Outcome | None
    untried: tuple[tuple[Delivery, Delayed], ...] = ()


class Attempts:
    log = Logger()

    def __init__(
        self,
        agents: Mapping[str, DeliveryAgent],
        reporter: Reporter,
        clock: IReactorTime,
        observer: FateObserver | None = None,
    ) -> None:
        self._agents = agents
        self._reporter = reporter
        self._clock = clock
        self._observer = observer

    async def make(self, site: Site, job: Job, message: QueuedMessage, stopping: Callable[[], bool]) -> Attempted:
        """Let the agent deliver. Raises CancelledError when the scheduler stops, nothing else."""
        late, untried, deliveries = self._part(site, job, message)
        if not deliveries:
            return Attempted(late, None, untried)
        agent = self._agents.get(job.destination.agent)
        outcomes: Sequence[Outcome]
        if agent is None:
            problem = Delayed("4.3.5", f"no delivery agent is named {job.destination.agent!r}")
            return Attempted((*late, *((delivery, problem) for delivery in deliveries)), problem, untried)
        try:
            outcomes = await agent.deliver(message, deliveries)
            if len(outcomes) != len(deliveries):
                raise ValueError(f"{len(outcomes)} outcomes for {len(deliveries)} deliveries")
        except Exception as error:
            if stopping() and isinstance(error, CancelledError):
                raise
            self.log.failure(
                "the attempt to deliver {transaction} to {destination} failed inside",
                event="attempt_failed",
                transaction=message.id,
                session=message.session_id,
                destination=str(job.destination),
            )
            outcomes = [Delayed("4.3.0", "an internal error; the log has the details")] * len(deliveries)
        trouble = next((outcome for outcome in outcomes if isinstance(outcome, Delayed) and outcome.site_wide), None)
        return Attempted((*late, *zip(deliveries, outcomes, strict=True)), trouble or outcomes[0], untried)

    def conclude(
        self, site: Site, message: QueuedMessage, attempted: Attempted
    ) -> tuple[list[Settlement], Sequence[Entry]]:
        """Give what to write: the deliveries that are settled or wait again, and the reports to the sender."""
        now = self._clock.seconds()
        settlements: list[Settlement] = []
        reported: list[tuple[Delivery, Reportable]] = []
        for delivery, trouble in attempted.untried:
            waiting = site.retry.told(delivery, trouble, now)
            settlements.append(Settlement(delivery.id, waiting))
            reported.append((waiting, trouble))
        for delivery, outcome in attempted.results:
            following = site.retry.after(message, delivery, outcome, now) if isinstance(outcome, Delayed) else outcome
            if isinstance(following, Delivery):
                self._log_delayed(message, following)
                settlements.append(Settlement(delivery.id, following))
                if isinstance(outcome, Delayed) and site.retry.is_report_due(message, delivery, now):
                    reported.append((following, outcome))
                continue
            given_up = str(delivery.destination) if isinstance(following, Failed) else ""
            settlements.append(Settlement(delivery.id, destination=given_up))
            self._log_settled(message, delivery, following)
            if isinstance(following, Discarded):
                continue
            if isinstance(following, Failed) or (following.action and "SUCCESS" in delivery.recipient.notify):
                reported.append((delivery, following))
        if not reported:
            return settlements, ()
        try:
            reports = self._reporter.report(message, reported)
        except Exception:
            # The sender must hear of failures: so they stay, and are tried again when the report may work. What was
            # delivered is not: it would come twice.
            self.log.failure(
                "the report about {transaction} failed inside",
                event="report_failed",
                transaction=message.id,
                session=message.session_id,
            )
            kept = {
                delivery.id: self._kept(site, delivery, outcome, now)
                for delivery, outcome in reported
                if isinstance(outcome, Failed)
            }
            return [kept.get(settlement.id, settlement) for settlement in settlements], ()
        if self._observer is not None:
            for report in reports:
                self._observer.report(message, report)
        return settlements, reports

    def _tell(self, event: str, message: QueuedMessage, delivery: Delivery, remote: str, detail: str) -> None:
        if self._observer is not None:
            self._observer.fate(message, delivery, event, remote=remote, detail=detail)

    def _part(
        self, site: Site, job: Job, message: QueuedMessage
    ) -> tuple[tuple[tuple[Delivery, Outcome], ...], tuple[tuple[Delivery, Delayed], ...], list[Delivery]]:
        """Part those whose time is over, and those whose senders are to hear that they wait, from those to try.

        While a site is in trouble, only a few deliveries are tried there; the others run out of time here. What was
        never tried is tried once, though late.
        """
        now, trouble = self._clock.seconds(), site.last
        if trouble is None:
            return (), (), list(job.deliveries)
        late: list[tuple[Delivery, Outcome]] = []
        untried: list[tuple[Delivery, Delayed]] = []
        deliveries = []
        for delivery in job.deliveries:
            if site.retry.has_expired(message, delivery, now):
                late.append((delivery, trouble))
            elif site.retry.is_report_due(message, delivery, now):
                untried.append((delivery, trouble))
            else:
                deliveries.append(delivery)
        return tuple(late), tuple(untried), deliveries

    def _kept(self, site: Site, delivery: Delivery, outcome: Failed, now: float) -> Settlement:
        due = now + site.retry.site_pause(delivery.attempts + 1)
        return Settlement(delivery.id, evolve(delivery, due=due, attempts=delivery.attempts + 1, last=words(outcome)))

    def _log_delayed(self, message: QueuedMessage, delivery: Delivery) -> None:
        self._tell("delayed", message, delivery, "", delivery.last)
        self.log.info(
            "{transaction} to {recipient} waits until {due:.0f}: {reason}",
            event="delayed",
            attempts=delivery.attempts,
            due=delivery.due,
            reason=delivery.last,
            **_facts(message, delivery),
        )

    def _log_settled(self, message: QueuedMessage, delivery: Delivery, outcome: Outcome) -> None:
        if isinstance(outcome, Delivered):
            self._tell("delivered", message, delivery, outcome.remote, outcome.detail)
            self.log.info(
                "delivered {transaction} to {recipient}: {detail}",
                event="delivered",
                attempts=delivery.attempts + 1,
                detail=outcome.detail,
                remote=outcome.remote,
                **_facts(message, delivery),
            )
        elif isinstance(outcome, Discarded):
            self._tell("discarded", message, delivery, "", outcome.detail)
            self.log.info(
                "{transaction} to {recipient} is thrown away: {reason}",
                event="discarded",
                reason=outcome.detail,
                **_facts(message, delivery),
            )
        else:
            self._tell("failed", message, delivery, outcome.remote, words(outcome))
            self.log.warn(
                "{transaction} to {recipient} failed: {reason}",
                event="failed",
                attempts=delivery.attempts + 1,
                reason=words(outcome),
                status=outcome.status,
                remote=outcome.remote,
                **_facts(message, delivery),
            )


def _facts(message: QueuedMessage, delivery: Delivery) -> dict[str, Any]:
    """What every event about a delivery says."""
    return {
        "transaction": message.id,
        "session": message.session_id,
        "recipient": str(delivery.recipient.forward_path),
        "destination": str(delivery.destination),
    }
