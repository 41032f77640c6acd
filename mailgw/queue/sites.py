"""Which site is behind a destination: asked of the agents once, and remembered while it is of use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from mailgw.queue.agent import DeliveryAgent
from mailgw.queue.item import Delivery, Destination, Priority, QueuedMessage
from mailgw.queue.site import Site

Pending = tuple[Delivery, QueuedMessage | None]
"""A delivery in the window, with its message when that is kept in memory."""

# Agents ask DNS: a window full of new domains is not asked for all at once.
_LOOKUPS = 50


class Sites:
    log = Logger()

    def __init__(
        self,
        agents: Mapping[str, DeliveryAgent],
        make_site: Callable[[str], Site],
        found: Callable[[Site, Sequence[Pending]], None],
    ) -> None:
        """`make_site` makes one of that name; `found` is called with the deliveries that were given to `look_up`, when
        their site is known."""
        self._agents = agents
        self._make_site = make_site
        self._found = found
        self._sites: dict[str, Site] = {}
        self._known: dict[Destination, Site] = {}
        self._pending: dict[Destination, list[Pending]] = {}
        self._waiting: deque[Destination] = deque()
        self._lookups: dict[Destination, Deferred[str]] = {}
        self._going = False

    def known(self, destination: Destination) -> Site | None:
        return self._known.get(destination)

    def look_up(self, delivery: Delivery, message: QueuedMessage | None) -> None:
        """Ask for the site of a delivery whose destination is not known."""
        destination = delivery.destination
        pending = self._pending.get(destination)
        if pending is not None:
            pending.append((delivery, message))
            return
        self._pending[destination] = [(delivery, message)]
        self._waiting.append(destination)
        self._go_on()

    def parked(self, priority: Priority) -> list[str]:
        """Give the destinations that have deliveries of that priority left in the store."""
        return [destination for site in self._sites.values() for destination in site.lanes[priority].parked]

    def all(self) -> list[Site]:
        """Give every site that is known."""
        return list(self._sites.values())

    def take_pending(self) -> list[Delivery]:
        """Take out the deliveries whose site is being asked for."""
        deliveries = [delivery for pending in self._pending.values() for delivery, _ in pending]
        for pending in self._pending.values():
            pending.clear()  # the question goes on, for those that come back
        return deliveries

    def paused(self) -> list[Site]:
        """Give the sites that are left alone now."""
        return [site for site in self._sites.values() if site.paused is not None]

    def forget(self) -> None:
        """Ask anew for every destination from now on (MX records change), and drop the sites without mail."""
        self._known.clear()
        self._sites = {name: site for name, site in self._sites.items() if not site.idle}

    def stop(self) -> None:
        self._waiting.clear()
        for lookup in list(self._lookups.values()):
            lookup.cancel()
        for site in self._sites.values():
            if site.paused is not None:
                site.paused.cancel()
                site.paused = None

    def _go_on(self) -> None:
        if self._going:
            return  # an agent that answers at once comes back here: the loop below goes on
        self._going = True
        try:
            while self._waiting and len(self._lookups) < _LOOKUPS:
                destination = self._waiting.popleft()
                agent = self._agents.get(destination.agent)
                if agent is None:  # the attempt will say what is wrong
                    self._place(destination, str(destination))
                    continue
                lookup = Deferred.fromCoroutine(self._ask(agent, destination))
                self._lookups[destination] = lookup
                lookup.addCallback(self._answered, destination)
        finally:
            self._going = False

    async def _ask(self, agent: DeliveryAgent, destination: Destination) -> str:
        try:
            return await agent.site(destination)
        except CancelledError:
            return str(destination)
        except Exception:
            self.log.failure("cannot tell the site of {destination}", event="site_failed", destination=str(destination))
            return str(destination)

    def _answered(self, name: str, destination: Destination) -> None:
        del self._lookups[destination]
        self._place(destination, name)
        self._go_on()

    def _place(self, destination: Destination, name: str) -> None:
        site = self._sites.get(name)
        if site is None:
            site = self._sites[name] = self._make_site(name)
        self._known[destination] = site
        self._found(site, self._pending.pop(destination))
