"""Quarantine: held mail stands in the queue as all accepted mail does, as deliveries to an agent that never delivers.

A held delivery is due when its time in quarantine is over: then the agent throws it away. Released, it is a delivery
as any other, due at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from mailgw.queue.item import Delivery, Destination, Discarded, Outcome, QueuedMessage

AGENT = "quarantine"


def hold(delivery: Delivery, until: float) -> Delivery:
    """Give the delivery as it stands in quarantine until then (wall clock)."""
    destination = delivery.destination
    held = Destination(AGENT, f"{destination.agent}:{destination.target}", destination.folder)
    return evolve(delivery, destination=held, due=until, expires=until)


def is_held(delivery: Delivery) -> bool:
    return delivery.destination.agent == AGENT


def destination_behind(destination: Destination) -> Destination:
    """Give where held mail would go; another destination is itself."""
    return Destination.parse(str(destination).removeprefix(f"{AGENT}:"))


def release(delivery: Delivery, now: float, lifetime: float) -> Delivery:
    """Give a held delivery as it goes on: to where it was going when it was held, for `lifetime` seconds."""
    destination = destination_behind(delivery.destination)
    return evolve(delivery, destination=destination, due=now, expires=now + lifetime, attempts=0, last="")


class QuarantineAgent:
    """Throws away what nobody released in time."""

    max_recipients = 100

    async def site(self, destination: Destination) -> str:
        return AGENT

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        return [Discarded("its time in quarantine is over, and nobody released it") for _ in deliveries]

    async def close(self) -> None:
        """Nothing is open."""
