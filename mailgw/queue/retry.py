"""When to try again, and when to give up: pure decisions from the settings, the clock's time and a random source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from random import Random

from attrs import evolve

from mailgw.config.schema import Queue, SiteRule
from mailgw.queue.item import Delayed, Delivery, Failed, Priority, QueuedMessage

# A site that was down for a day is looked after at least this often, so that mail goes soon after it is back.
_LONGEST_PAUSE = 1800.0


class RetryPolicy:
    def __init__(self, settings: Queue, random: Random, delay_reports: Sequence[float] = ()) -> None:
        """`delay_reports` are the ages, in seconds, at which the sender hears of a message that still waits."""
        self._settings = settings
        self._delay_reports = sorted(delay_reports)
        self._random = random
        people = settings.retry or Queue().retry
        self._schedules = {Priority.PEOPLE: people, Priority.BULK: settings.bulk_retry or people}
        self._lifetime = inf

    def towards(self, rule: SiteRule) -> RetryPolicy:
        """The same, as it is towards a site with a rule of its own."""
        if not rule.retry and not rule.lifetime:
            return self
        settings = evolve(self._settings, retry=rule.retry, bulk_retry=()) if rule.retry else self._settings
        policy = RetryPolicy(settings, self._random, self._delay_reports)
        policy._lifetime = rule.lifetime or inf
        return policy

    def after(self, message: QueuedMessage, delivery: Delivery, outcome: Delayed, now: float) -> Delivery | Failed:
        """Give the delivery's next state after an attempt that did not settle it, or its failure."""
        attempts = delivery.attempts + 1
        if self._settings.attempts and attempts >= self._settings.attempts:
            tries = "one try" if attempts == 1 else f"{attempts} tries"
            return Failed(
                outcome.status, f"given up after {tries}; the last one: {outcome.reason}", outcome.remote, outcome.reply
            )
        limit = self._limit(message, delivery)
        if now >= limit:
            return self.expired(message, outcome, now)
        schedule = self._schedules[delivery.priority]
        pause = self._jittered(schedule[min(attempts, len(schedule)) - 1])
        # The last try is at the end of the lifetime, not long before it; and when the sender is to hear of the delay
        # there is one, so that it hears how things are then.
        due = min((now + pause, limit, *(at for at in self._report_times(message) if at > now)))
        return evolve(delivery, attempts=attempts, due=due, last=words(outcome))

    def told(self, delivery: Delivery, trouble: Delayed, now: float) -> Delivery:
        """Give the next state of a delivery that was not tried: its sender heard that it waits for its site."""
        return evolve(delivery, due=now + self._jittered(self._schedules[delivery.priority][0]), last=words(trouble))

    def is_report_due(self, message: QueuedMessage, delivery: Delivery, now: float) -> bool:
        """Whether the sender is to hear of the delay now: once for each time, since the next try comes after it."""
        return any(delivery.due <= at <= now for at in self._report_times(message))

    def _report_times(self, message: QueuedMessage) -> Iterator[float]:
        if message.envelope.reverse_path is not None:
            yield from (message.received + age for age in self._delay_reports)

    def has_expired(self, message: QueuedMessage, delivery: Delivery, now: float) -> bool:
        return now >= self._limit(message, delivery)

    def expired(self, message: QueuedMessage, outcome: Delayed, now: float) -> Failed:
        """The lifetime is over (RFC 3463 X.4.7); what the last attempt met goes into the report."""
        return Failed(
            "4.4.7",
            f"it could not be delivered within {_period(now - message.received)}; the last try: {outcome.reason}",
            outcome.remote,
            outcome.reply,
        )

    def site_pause(self, failures: int) -> float:
        """Give the seconds for which a site is left alone after that many failures in a row (from 1)."""
        schedule = self._schedules[Priority.PEOPLE]
        return self._jittered(min(schedule[min(failures, len(schedule)) - 1], _LONGEST_PAUSE))

    def _limit(self, message: QueuedMessage, delivery: Delivery) -> float:
        limit = min(delivery.expires, message.received + self._lifetime)
        if message.envelope.reverse_path is None:
            return min(limit, message.received + self._settings.report_lifetime)
        return limit

    def _jittered(self, seconds: float) -> float:
        return seconds * (1.0 + self._settings.jitter * self._random.uniform(-1.0, 1.0))


def words(outcome: Delayed | Failed) -> str:
    """Say for people what became of an attempt: the reason, and what the remote said."""
    if outcome.reply is not None:
        return f"{outcome.reason}: {outcome.remote or 'the remote'} said: {outcome.reply}"
    return f"{outcome.status} {outcome.reason}" + (f" ({outcome.remote})" if outcome.remote else "")


def _period(seconds: float) -> str:
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "a minute"
