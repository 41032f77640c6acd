"""The ways in which an engine can fail us. All are temporary failures: nothing is known about the message."""

from __future__ import annotations

from mailgw.mail.reply import TemporaryFailure


class Broken(TemporaryFailure):
    """It cannot be reached, does not answer, or what it says is not its protocol. Counts for its breaker."""


class Closed(Broken):
    """It closed the connection, in order."""


class Declined(TemporaryFailure):
    """It is there and says in order that it cannot answer now. It is no sign that the next message fares no better."""


class NotAsked(TemporaryFailure):
    """Its breaker is open. That it is down stands in the log already."""


def quote(data: bytes, most: int = 100) -> str:
    """Show what an engine said, for the cause of a failure."""
    text = data[:most].decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return f'"{shown}{"..." if len(data) > most else ""}"'
