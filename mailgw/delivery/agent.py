"""The interface of a delivery agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailgw.queue.item import Delivery, Destination, Outcome, QueuedMessage


class DeliveryAgent(Protocol):
    max_recipients: int
    """How many deliveries of one message it takes at once."""

    async def site(self, destination: Destination) -> str:
        """Name the site behind the destination: what shares concurrency, back-off and connections.

        For a relay by MX it is the sorted set of MX host names, so that domains of one provider share it. When it cannot be found out now, the
        destination's own text will do: `deliver` will say what is wrong.
        """
        ...

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Attempt it; give one outcome for each delivery, in their order."""
        ...

    async def close(self) -> None:
        """End what is kept open (connections)."""
        ...
