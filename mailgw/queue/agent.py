"""What the scheduler sees of delivery: agents that attempt, and a reporter that tells the sender.

They stand here because imports run with the mail: `delivery` knows `queue`, never the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailgw.queue.item import Delivery, Destination, Outcome, QueuedMessage, Reportable
from mailgw.queue.store import Entry


class DeliveryAgent(Protocol):
    max_recipients: int
    """How many deliveries of one message it takes at once."""

    async def site(self, destination: Destination) -> str:
        """Name the site behind the destination: what shares concurrency, back-off and connections.

        For a relay by MX it is the sorted set of MX host names, so that domains of one provider share it; what two
        agents name alike is one site. A name that begins with `mx:` is of the world: attempts begin slowly there. When
        it cannot be found out now, the destination's own text will do: `deliver` will say what is wrong.
        """
        ...

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Attempt it; give one outcome for each delivery, in their order. Remote facts are never exceptions."""
        ...

    async def close(self) -> None:
        """End what is kept open (connections)."""
        ...


class FateObserver(Protocol):
    """Is told what becomes of messages, as the log is. Must not block or raise."""

    def fate(
        self, message: QueuedMessage, delivery: Delivery, event: str, *, remote: str = "", detail: str = ""
    ) -> None:
        """`event` is that of the log: delivered, delayed, failed, discarded."""
        ...

    def report(self, message: QueuedMessage, entry: Entry) -> None:
        """A report about the message is put."""
        ...


class Reporter(Protocol):
    def report(self, message: QueuedMessage, results: Sequence[tuple[Delivery, Reportable]]) -> Sequence[Entry]:
        """Make the RFC 3464 reports about these recipients, ready to be put; none where nobody may be told.

        `results` are what may be of interest: failures, what was delivered with an `action` for a sender who asked for
        it, and what is delayed for so long that the sender should know; a delayed delivery is in its next state.
        """
        ...
