"""How many sessions there may be, and how many errors a session may make."""

from __future__ import annotations

from attrs import define, field

from mailgw.config.schema import Limits
from mailgw.mail.transaction import Service


@define
class SessionCount:
    """Counts the sessions of all listeners; keeps a share for submission, so that a flood on port 25 does not
    lock the organisation's own people out."""

    limits: Limits
    _sessions: dict[Service, int] = field(factory=lambda: {"mx": 0, "submission": 0, "lmtp": 0})

    def enter(self, service: Service) -> bool:
        """Take a place; False when there is none."""
        total = sum(self._sessions.values())
        room = self.limits.connections
        if service != "submission":
            reserve = max(0, self.limits.submission_reserve - self._sessions["submission"])
            room -= reserve
        if total >= room:
            return False
        self._sessions[service] += 1
        return True

    def leave(self, service: Service) -> None:
        self._sessions[service] -= 1


@define
class ErrorCount:
    """What one session did wrong so far."""

    limits: Limits
    errors: int = 0
    unknown_recipients: int = 0
    auth_failures: int = 0
    transactions: int = 0

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
        return ""
