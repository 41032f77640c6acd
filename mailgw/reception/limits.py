"""How many sessions there may be, and how many errors a session may make."""

from __future__ import annotations

from typing import Literal

from attrs import define, field

from mailgw.config.schema import Limits
from mailgw.mail.transaction import Service
from mailgw.reception.networks import host_of, network_of

_LOAD = 0.8
"""The share of all connections from which on idle clients get less time."""

Full = Literal["all", "address", "network"]


@define
class SessionCount:
    """Counts the sessions of all listeners, in all and of each host and network.

    It keeps a share for submission, so that a flood on port 25 does not lock the organisation's own people out; for
    the same reason hosts and networks are counted for each kind of listener. Only who has a session is held.
    """

    limits: Limits
    total: int = 0
    _sessions: dict[Service, int] = field(factory=lambda: {"mx": 0, "submission": 0, "lmtp": 0})
    _hosts: dict[tuple[Service, str], int] = field(factory=dict)
    _networks: dict[tuple[Service, str], int] = field(factory=dict)

    def __len__(self) -> int:
        """How many hosts and networks are held."""
        return len(self._hosts) + len(self._networks)

    @property
    def under_load(self) -> bool:
        return self.total > self.limits.connections * _LOAD

    def enter(self, service: Service, address: str, *, own: bool = False, factor: float = 1.0) -> Full | None:
        """Take a place, or say what is full. Our own networks count in all only; `factor` multiplies their limits
        for an address and a network."""
        room = self.limits.connections
        if service != "submission":
            room -= max(0, self.limits.submission_reserve - self._sessions["submission"])
        if self.total >= room:
            return "all"
        if not own:
            host, network = (service, host_of(address)), (service, network_of(address))
            of_host, of_network = self._hosts.get(host, 0), self._networks.get(network, 0)
            if of_host >= self.limits.connections_per_address * factor:
                return "address"
            if of_network >= self.limits.connections_per_network * factor:
                return "network"
            self._hosts[host] = of_host + 1
            self._networks[network] = of_network + 1
        self.total += 1
        self._sessions[service] += 1
        return None

    def leave(self, service: Service, address: str, *, own: bool = False) -> None:
        """Give a place back, with what it was taken with."""
        self.total -= 1
        self._sessions[service] -= 1
        if not own:
            _decrease(self._hosts, (service, host_of(address)))
            _decrease(self._networks, (service, network_of(address)))


def _decrease(counts: dict[tuple[Service, str], int], key: tuple[Service, str]) -> None:
    number = counts[key] - 1
    if number:
        counts[key] = number
    else:
        del counts[key]


@define
class ErrorCount:
    """What one session did wrong so far."""

    limits: Limits
    errors: int = 0
    unknown_recipients: int = 0
    auth_failures: int = 0
    transactions: int = 0
    idle_commands: int = 0

    @property
    def delay(self) -> float:
        """Seconds that the next error reply waits."""
        return 1.0 if self.errors > self.limits.soft_errors else 0.0

    @property
    def exhausted(self) -> str:
        """Why the session has to end, in words for its last reply; empty when it may go on."""
        if self.errors >= self.limits.hard_errors:
            return "too many errors"
        if self.unknown_recipients >= self.limits.unknown_recipients:
            return "too many unknown recipients"
        if self.auth_failures >= self.limits.auth_failures:
            return "too many failed logins"
        if self.idle_commands > self.limits.idle_commands:
            return "too many commands without a message"
        return ""
