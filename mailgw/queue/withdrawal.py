"""What a person takes out of the queue with a report to its sender: deliveries to an agent by which all fail.

So the report comes from the gateway, by the rules for every other, and is neither lost nor made twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from mailgw.queue.item import Delivery, Destination, Failed, Outcome, QueuedMessage

AGENT = "withdrawn"
_REASON = "the postmaster of this server took it out of the queue"


def withdraw(delivery: Delivery, now: float) -> Delivery:
    """Give the delivery as it fails now."""
    destination = delivery.destination
    return evolve(
        delivery,
        destination=Destination(AGENT, f"{destination.agent}:{destination.target}", destination.folder),
        due=now,
    )


class WithdrawnAgent:
    """Fails all that it is given."""

    max_recipients = 100

    async def site(self, destination: Destination) -> str:
        return AGENT

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        return [Failed("5.7.1", _REASON) for _ in deliveries]  # RFC 3463 3.8: delivery not authorized

    async def close(self) -> None:
        """Nothing is open."""
