"""Forwarding: mail for an address of ours that leads outside goes on under a return path of ours (SRS)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve

from mailgw.queue.agent import DeliveryAgent
from mailgw.queue.item import Delivery, Destination, Failed, Outcome, QueuedMessage
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


class UnforwardableAgent:
    """Fails what cannot be forwarded. Its sender is told: SPF has proven the address."""

    max_recipients = 100

    async def site(self, destination: Destination) -> str:
        return "unforwardable"

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        # RFC 7372 3.4 has X.7.26 for several checks that fail, as SPF would from here, and DKIM does.
        reason = (
            "the address leads to another system, which would refuse the message by the DMARC policy of its From"
            " domain: it carries no valid DKIM signature of that domain"
        )
        return [Failed("5.7.26", reason) for _ in deliveries]

    async def close(self) -> None:
        """Nothing is open."""
