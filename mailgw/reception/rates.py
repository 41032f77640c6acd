"""Rates: how much of something is taken within a time, for each client, user, domain or whatever [rates] names."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Literal

from attrs import frozen

from mailgw.config.schema import DEFAULT_RATES, Rate
from mailgw.mail.address import Mailbox
from mailgw.mail.transaction import Client, Service
from mailgw.reception.networks import Networks, host_of, network_of

Counts = Literal["connections", "messages", "recipients", "auth_failures", "handshakes"]

CAPACITY = 50_000
"""Keys that one rate holds. Beyond, who was seen longest ago is forgotten: memory stays bounded in any flood."""
_ROUNDING = 1e-6


@frozen
class Subject:
    """What is counted now: who does it, and for whom."""

    client: Client
    sender: Mailbox | None = None
    recipient: Mailbox | None = None


@frozen
class Exceeded:
    """One more would be too much. `key` is what it was counted for, `wait` the seconds until one more is taken."""

    name: str
    rate: Rate
    key: str
    limit: int
    wait: float


class Once:
    """Tells what is new from what was told already, so that a flood does not flood the log."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._until: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def first(self, key: Hashable, now: float, period: float) -> bool:
        """Whether the key was not told within the last `period` seconds; from now on it is."""
        if self._until.get(key, now) > now:
            return False
        self._until[key] = now + period
        self._until.move_to_end(key)
        if len(self._until) > self._capacity:
            self._until.popitem(last=False)
        return True


class Limiter:
    """Counts by one rate as a leaky bucket: two numbers a key, whatever its limit.

    A whole period's worth may come at once; what was used comes back evenly over the period. So in the worst period
    twice the limit is taken, and on average the limit. What is refused does not count.
    """

    def __init__(self, name: str, rate: Rate, capacity: int = CAPACITY) -> None:
        self.name = name
        self.rate = rate
        self.by_host = rate.key in ("address", "network")
        """Whether it counts hosts: our own networks are exempt then, and a good history counts."""
        self._only = _matcher(rate)
        self._key = _KEYS[rate.key]
        self._capacity = capacity
        self._entries: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """How much was used and when it was that, by key; the last one to count stands last."""

    def __len__(self) -> int:
        return len(self._entries)

    def key_of(self, subject: Subject) -> str:
        """What the subject is counted for; empty where this rate does not hold for it."""
        key = self._key(subject)
        # A network or an address is matched by what the client's address is, not by the text of the key.
        value = subject.client.address if self.by_host else key
        return key if key and (self._only is None or self._only(value)) else ""

    def wait(self, key: str, now: float, factor: float = 1.0) -> float:
        """Seconds until one more is taken; 0 when that is now. `factor` multiplies the limit."""
        limit = self.rate.limit * factor
        over = self._used(key, now, limit) + 1.0 - limit
        return over * self.rate.period / limit if over > _ROUNDING else 0.0

    def count(self, key: str, now: float, factor: float = 1.0) -> None:
        """One more was taken."""
        table = self._entries
        table[key] = (self._used(key, now, self.rate.limit * factor) + 1.0, now)
        table.move_to_end(key)
        if len(table) > self._capacity:
            table.popitem(last=False)
        # Two at most for each that comes: the table shrinks without a sweep that would take long.
        for _ in range(2):
            oldest = next(iter(table))
            if self._lately(table[oldest][1], now):
                break
            del table[oldest]

    def _used(self, key: str, now: float, limit: float) -> float:
        entry = self._entries.get(key)
        if entry is None or not self._lately(entry[1], now):
            return 0.0
        used, when = entry
        return max(0.0, used - (now - when) * limit / self.rate.period)

    def _lately(self, when: float, now: float) -> bool:
        # What lies ahead was written before the clock was set back: nobody waits for that time to come again.
        return 0.0 <= now - when < self.rate.period


class Rates:
    """All rates of the configuration."""

    def __init__(self, sections: Mapping[str, Rate], capacity: int = CAPACITY) -> None:
        """Take the sections of [rates]: each replaces the default of its name."""
        rates = {**DEFAULT_RATES, **sections}
        # A limit of 0 switches a rate off, or frees those that it names from the rates for everyone else.
        limiters = [Limiter(name, rate, capacity) for name, rate in rates.items() if rate.limit or rate.only]
        limiters.sort(key=lambda limiter: not limiter.rate.only)  # `exceeded` wants those with names first
        self._limiters: dict[tuple[str, str], tuple[Limiter, ...]] = {}
        services: tuple[Service, ...] = ("mx", "submission", "lmtp")
        for service in services:
            for limiter in limiters:
                rate = limiter.rate
                if not rate.listeners or service in rate.listeners:
                    self._limiters.setdefault((service, rate.counts), ())
                    self._limiters[service, rate.counts] += (limiter,)

    def of(self, service: Service, counts: Counts) -> tuple[Limiter, ...]:
        """The rates that hold for something on listeners of a kind."""
        return self._limiters.get((service, counts), ())


def exceeded(
    limiters: Iterable[Limiter], subject: Subject, now: float, *, own: bool, factor: float, count: bool = True
) -> Exceeded | None:
    """Say which rate is exceeded by one more; when none is, count it (unless `count` is False).

    Rates that name whom they hold for in `only` take the place of those with the same key that hold for anyone; they
    have to come first. `own`: the client is in a network of ours. `factor` multiplies the limits of hosts. What one
    rate refuses is counted by none.
    """
    taken = []
    named = []
    for limiter in limiters:
        rate = limiter.rate
        if (own and limiter.by_host) or (not rate.only and rate.key in named):
            continue
        key = limiter.key_of(subject)
        if not key:
            continue
        if rate.only:
            named.append(rate.key)
            if not rate.limit:
                continue
        times = factor if limiter.by_host else 1.0
        wait = limiter.wait(key, now, times)
        if wait:
            return Exceeded(limiter.name, rate, key, int(rate.limit * times), wait)
        taken.append((limiter, key, times))
    if count:
        for limiter, key, times in taken:
            limiter.count(key, now, times)
    return None


def duration(seconds: float) -> str:
    """A time in words, rounded up: `20 seconds`, `5 minutes`, `24 hours`."""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit:
            return f"{math.ceil(seconds / unit)} {name}s"
    number = max(1, math.ceil(seconds))
    return f"{number} second{'s' if number > 1 else ''}"


def pattern(texts: Iterable[str]) -> re.Pattern[str]:
    """Make one expression of patterns in which `*` stands for anything; case does not matter."""
    return re.compile("|".join(".*".join(map(re.escape, text.split("*"))) for text in texts), re.IGNORECASE | re.DOTALL)


def _matcher(rate: Rate) -> Callable[[str], object] | None:
    if not rate.only:
        return None
    if rate.key in ("address", "network"):
        return Networks(rate.only).__contains__
    return pattern(rate.only).fullmatch


def _mailbox(mailbox: Mailbox | None) -> str:
    return f"{mailbox.local_part}@{mailbox.ascii_domain}".lower() if mailbox is not None else ""


def _domain(mailbox: Mailbox | None) -> str:
    return mailbox.ascii_domain if mailbox is not None else ""


# The null reverse-path is nobody's: it is counted by what else is known of the client.
_KEYS: Mapping[str, Callable[[Subject], str]] = {
    "address": lambda subject: host_of(subject.client.address),
    "network": lambda subject: network_of(subject.client.address),
    "user": lambda subject: subject.client.identity,
    "sender": lambda subject: _mailbox(subject.sender),
    "sender_domain": lambda subject: _domain(subject.sender),
    "recipient": lambda subject: _mailbox(subject.recipient),
    "recipient_domain": lambda subject: _domain(subject.recipient),
    "all": lambda subject: "all",
}
