"""A QueueStore in memory: for tests, and to see what the interface asks for in the fewest lines."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from mailgw.mail.message import BytesContent, Content
from mailgw.mail.reply import TemporaryFailure
from mailgw.queue.item import Delivery, DeliveryId, Priority, QueuedMessage
from mailgw.queue.store import ContentWriter, Entry, QueueSize, Settlement


class MemoryContentWriter:
    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self._pieces.append(data)

    async def finish(self) -> Content:
        return BytesContent(b"".join(self._pieces))

    async def abort(self) -> None:
        self._pieces.clear()


class MemoryStore:
    """Holds everything in two dictionaries. While `broken` is not empty, everything fails with it as the cause."""

    def __init__(self) -> None:
        self.broken = ""
        self._messages: dict[str, QueuedMessage] = {}
        self._deliveries: dict[str, dict[int, Delivery]] = {}

    async def open(self) -> None:
        self._check()

    async def close(self) -> None:
        pass

    def new_content(self, message_id: str) -> ContentWriter:
        self._check()
        return MemoryContentWriter()

    async def put(self, *entries: Entry) -> None:
        self._check()
        for entry in entries:
            self._look(entry)
        for entry in entries:
            self._add(entry)

    async def copy(self, content: Content, message_id: str) -> Content:
        self._check()
        return content

    async def discard(self, content: Content) -> None:
        pass

    async def settle(self, settlements: Sequence[Settlement], reports: Sequence[Entry] = ()) -> None:
        self._check()
        for report in reports:
            self._add(report)
        for settlement in settlements:
            message_id, number = settlement.id
            deliveries = self._deliveries.get(message_id, {})
            if number not in deliveries:
                continue
            if settlement.retry is not None:
                deliveries[number] = settlement.retry
                continue
            if settlement.destination not in ("", str(deliveries[number].destination)):
                continue
            del deliveries[number]
            if not deliveries:
                del self._deliveries[message_id]
                del self._messages[message_id]

    async def due(
        self,
        before: float,
        limit: int,
        skip: Collection[DeliveryId] = (),
        *,
        since: float = -math.inf,
        destination: str | None = None,
        without: Collection[str] = (),
        priority: Priority | None = None,
    ) -> Sequence[Delivery]:
        self._check()
        found = [
            delivery
            for delivery in self._all()
            if since <= delivery.due <= before
            and delivery.id not in skip
            and (destination is None or str(delivery.destination) == destination)
            and (not without or str(delivery.destination) not in without)
            and priority in (None, delivery.priority)
        ]
        found.sort(key=lambda delivery: delivery.due)
        return found[:limit]

    async def next_due(self, after: float = -math.inf, *, priority: Priority | None = None) -> float | None:
        self._check()
        dues = (d.due for d in self._all() if d.due > after and priority in (None, d.priority))
        return min(dues, default=None)

    async def message(self, message_id: str) -> QueuedMessage | None:
        self._check()
        return self._messages.get(message_id)

    async def standing(self, deliveries: Sequence[Delivery]) -> Entry | None:
        message_id = deliveries[0].message_id
        here = self._deliveries.get(message_id, {})
        still = tuple(d for d in deliveries if d.number in here and here[d.number].destination == d.destination)
        self._check()
        return Entry(self._messages[message_id], still) if still else None

    def changed(self) -> bool:
        return False

    async def entries(self, limit: int, after: str = "") -> Sequence[Entry]:
        self._check()
        return [
            Entry(self._messages[message_id], tuple(self._deliveries[message_id].values()))
            for message_id in sorted(key for key in self._messages if key > after)[:limit]
        ]

    async def size(self) -> QueueSize:
        self._check()
        return QueueSize(len(self._messages), sum(map(len, self._deliveries.values())))

    def _check(self) -> None:
        if self.broken:
            raise TemporaryFailure(self.broken)

    def _look(self, entry: Entry) -> None:
        if entry.message.id in self._messages:
            raise ValueError(f"{entry.message.id} is in the queue already")
        if not entry.deliveries:
            raise ValueError(f"{entry.message.id} has no delivery: it would stay forever")

    def _add(self, entry: Entry) -> None:
        self._look(entry)
        self._messages[entry.message.id] = entry.message
        self._deliveries[entry.message.id] = {delivery.number: delivery for delivery in entry.deliveries}

    def _all(self) -> Iterator[Delivery]:
        return (delivery for deliveries in self._deliveries.values() for delivery in deliveries.values())
