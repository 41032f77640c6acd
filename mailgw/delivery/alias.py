"""The delivery that only reports: an alias was expanded, as the sender asked to know."""

from __future__ import annotations

from collections.abc import Sequence

from mailgw.queue.item import Delivered, Delivery, Destination, Outcome, QueuedMessage


class AliasAgent:
    """Settles `alias:ADDRESS` at once with the action `expanded` (RFC 3464 2.3.3).

    So the report comes from the queue as every other does: it is neither lost nor made twice.
    """

    max_recipients = 100

    async def site(self, destination: Destination) -> str:
        return "alias"

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        return [Delivered("to each of its targets", action="expanded") for _ in deliveries]

    async def close(self) -> None:
        """Nothing is open."""
