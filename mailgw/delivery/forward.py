"""Forwarding: mail for an address of ours that leads outside goes on under a return path of ours (SRS)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve

from mailgw.queue.agent import DeliveryAgent
from mailgw.queue.item import Delivery, Destination, Outcome, QueuedMessage
from mailgw.routing.srs import Srs


class ForwardAgent:
    """Relays what was forwarded. A report of failure of ours still goes to the sender itself, not around by us."""

    def __init__(self, relay: DeliveryAgent, srs: Srs, is_ours: Callable[[str], bool]) -> None:
        """`is_ours` tells our domains: for them we may send as they are."""
        self.max_recipients = relay.max_recipients
        self._relay = relay
        self._srs = srs
        self._is_ours = is_ours

    async def site(self, destination: Destination) -> str:
        return await self._relay.site(destination)

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        sender = message.envelope.reverse_path
        if sender is not None and not self._is_ours(sender.domain):
            message = evolve(message, envelope=evolve(message.envelope, reverse_path=self._srs.forward(sender)))
        return await self._relay.deliver(message, deliveries)

    async def close(self) -> None:
        """The relay is closed by itself."""
