"""The guard: whether a client may do one thing more, by the limits, the rates and what is known of the host.

Sessions ask it at each step that [limits] and [rates] count; it gives the refusal, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.config.schema import Limits
from mailgw.mail.address import Mailbox
from mailgw.mail.reply import Reply
from mailgw.mail.transaction import Client
from mailgw.reception.history import HostHistory
from mailgw.reception.limits import Full, SessionCount
from mailgw.reception.networks import Networks, host_of, network_of
from mailgw.reception.rates import Counts, Exceeded, Once, Rates, Subject, duration, exceeded

_FULL = Reply(421, "4.3.2", ("Too many connections, please try again later",), close=True)
_TOLD_AGAIN = 60.0
"""Seconds until the log tells again that a host has too many connections."""

# Code and status of what a rate refuses; all are temporary. RFC 3207 4 names 454 for STARTTLS. RFC 3463 3.5: X.4.5 is
# congestion, which passes; X.7.1 would be permanent. 452 for a recipient would make a client send the rest in another
# transaction at once (RFC 5321 4.5.3.1.10), which is no answer to a rate: 451 lets its queue wait.
_REFUSALS: dict[Counts, tuple[int, str, str]] = {
    "connections": (421, "4.7.0", "new connections"),
    "handshakes": (454, "4.7.0", "TLS handshakes"),
    "auth_failures": (421, "4.7.0", "failed logins"),
    "messages": (451, "4.4.5", "messages"),
    "recipients": (451, "4.4.5", "recipients"),
}


class Guard:
    """One for all listeners. Hosts with good history have more room; our own networks are not limited by host."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, limits: Limits, rates: Rates, own_networks: Networks, history: HostHistory, clock: IReactorTime
    ) -> None:
        self._count = SessionCount(limits)
        self._factor = limits.good_history_factor
        self._rates = rates
        self._own = own_networks
        self._history = history
        self._clock = clock
        self._told = Once()

    @property
    def under_load(self) -> bool:
        """Whether most of the connections that may be are there."""
        return self._count.under_load

    def knows(self, client: Client) -> bool:
        """Whether the host is one of ours, or has good history."""
        return client.address in self._own or self._history.is_good(host_of(client.address))

    def move(self, old: Client, new: Client) -> Reply | None:
        """Take a place for who turned out to be the client (XCLIENT), in exchange for that of `old`, which stays where
        there is a refusal."""
        self.leave(old)
        refusal = self.admit(new)
        if refusal is not None:
            own = old.address in self._own
            factor = 1.0 if own else self._factor_of(old)
            self._count.enter(old.service, old.address, own=own, factor=factor)
        return refusal

    def admit(self, client: Client, make_room: Callable[[], bool] = lambda: False) -> Reply | None:
        """Take a place for a session, once its client's address is known. Without a refusal, `leave` has to be called
        with the same service and address when it ends. `make_room` is called when all places are taken; it tells
        whether it could end a session."""
        refusal = self._ask("connections", Subject(client))
        if refusal is not None:
            return refusal
        own = client.address in self._own
        factor = 1.0 if own else self._factor_of(client)
        full = self._count.enter(client.service, client.address, own=own, factor=factor)
        if full == "all" and make_room():
            full = self._count.enter(client.service, client.address, own=own, factor=factor)
        return None if full is None else self._refuse_place(client, full)

    def leave(self, client: Client) -> None:
        """The session of a client that was admitted has ended."""
        self._count.leave(client.service, client.address, own=client.address in self._own)

    def handshake(self, client: Client) -> Reply | None:
        """Whether a TLS handshake may begin."""
        return self._ask("handshakes", Subject(client))

    def message(self, client: Client, sender: Mailbox | None) -> Reply | None:
        """Whether a transaction may begin."""
        return self._ask("messages", Subject(client, sender))

    def recipient(self, client: Client, sender: Mailbox | None, recipient: Mailbox) -> Reply | None:
        """Whether a recipient may be named. Unknown ones count too, so that nobody tries names for long."""
        return self._ask("recipients", Subject(client, sender, recipient))

    def login(self, client: Client) -> Reply | None:
        """Whether AUTH may begin; asked before any password is looked at, which would cost much."""
        return self._ask("auth_failures", Subject(client), count=False)

    def login_failed(self, client: Client) -> None:
        """A password was wrong."""
        self._ask("auth_failures", Subject(client))

    def outcome(self, client: Client, fine: bool) -> None:
        """A message of the client was accepted and is no spam, or something was wrong."""
        if client.address not in self._own:
            self._history.note(host_of(client.address), fine)

    def _ask(self, counts: Counts, subject: Subject, *, count: bool = True) -> Reply | None:
        client = subject.client
        limiters = self._rates.of(client.service, counts)
        if not limiters:
            return None
        own = client.address in self._own
        factor = 1.0 if own else self._factor_of(client)
        found = exceeded(limiters, subject, self._clock.seconds(), own=own, factor=factor, count=count)
        return None if found is None else self._refuse(counts, client, found)

    def _factor_of(self, client: Client) -> float:
        return self._factor if self._history.is_good(host_of(client.address)) else 1.0

    def _refuse(self, counts: Counts, client: Client, found: Exceeded) -> Reply:
        if self._told.first((found.name, found.key), self._clock.seconds(), found.rate.period):
            self.log.warn(
                "rate {rate} exceeded by {key}: more than {limit} {counts} in {period} s",
                event="rate_exceeded",
                rate=found.name,
                key=found.key,
                limit=found.limit,
                counts=counts,
                period=found.rate.period,
                session=client.session_id,
                address=client.address,
                service=client.service,
            )
        code, status, what = _REFUSALS[counts]
        whose = "" if found.rate.key == "all" else f" {_PREPOSITIONS.get(found.rate.key, 'from')} {found.key}"
        text = (
            f"Too many {what}{whose}: {found.limit} are taken in {duration(found.rate.period)}, "
            f"please try again in {duration(found.wait)}"
        )
        return Reply(code, status, (text,), close=code == 421)

    def _refuse_place(self, client: Client, full: Full) -> Reply:
        address = client.address
        key = {"all": "", "address": host_of(address), "network": network_of(address)}[full]
        if self._told.first((full, client.service, key), self._clock.seconds(), _TOLD_AGAIN):
            self.log.warn(
                "too many connections ({limit}), refused {address}",
                event="connection_refused",
                limit=full,
                key=key,
                session=client.session_id,
                address=address,
                service=client.service,
            )
        if full == "all":
            return _FULL
        return Reply(421, "4.7.0", (f"Too many connections at the same time from {key}",), close=True)


_PREPOSITIONS = {"recipient": "for", "recipient_domain": "for"}
