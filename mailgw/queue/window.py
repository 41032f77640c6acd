"""The window: which deliveries are in memory. Whatever is in it is not read from the store again."""

from __future__ import annotations

from attrs import define

from mailgw.mail.message import BytesContent
from mailgw.queue.item import Delivery, DeliveryId, Priority, QueuedMessage
from mailgw.queue.priority import room_for

# Messages that are kept with their deliveries, so that they need not be read again: their octets, all together. The
# others are read from the store when their turn comes, at most as many at a time as there are attempts.
KEPT = 32 * 1024 * 1024
# What a message takes beside its octets, and a recipient in its envelope.
_MESSAGE_OVERHEAD = 2048
_RECIPIENT_OVERHEAD = 512


def may_grow(mine: int, free: int) -> bool:
    """Whether someone who has `mine` of something limited may take one more of the `free`.

    Dynamic thresholds (Choudhury and Hahne 1998): each may have up to four times what is free, and the last is for
    who has nothing. One alone gets nearly four fifths; however many are greedy, something stays for a newcomer.
    """
    return free > 0 and (mine == 0 or mine < 4 * (free - 1))


def octets_of(message: QueuedMessage) -> int:
    """About how much memory a message takes. A content in a file takes none, but its head does."""
    content = message.message.content
    octets = content.size if isinstance(content, BytesContent) else 0
    octets += len(message.message.head) + len(message.message.prefix)
    return octets + _MESSAGE_OVERHEAD + _RECIPIENT_OVERHEAD * len(message.envelope.recipients)


@define
class _Kept:
    """A message in memory, with how many of its deliveries."""

    octets: int
    deliveries: int = 0


class Window:
    def __init__(self, size: int) -> None:
        self.size = size
        self._kept = 0
        self._messages: dict[str, _Kept] = {}
        self._ids: dict[DeliveryId, tuple[Priority, _Kept | None]] = {}
        self._taken = [0 for _ in Priority]
        self._left: set[DeliveryId] | None = None

    @property
    def room(self) -> int:
        return self.size - len(self._ids)

    def room_for(self, priority: Priority) -> int:
        return room_for(priority, self.size, *self._taken)

    @property
    def ids(self) -> frozenset[DeliveryId]:
        return frozenset(self._ids)

    def __contains__(self, delivery_id: DeliveryId) -> bool:
        return delivery_id in self._ids

    def enter(self, delivery: Delivery, message: QueuedMessage | None = None) -> QueuedMessage | None:
        """Take it in; give the message back when it may be kept with it."""
        kept = None if message is None else self._keep(message)
        self._ids[delivery.id] = delivery.priority, kept
        self._taken[delivery.priority] += 1
        return None if kept is None else message

    def _keep(self, message: QueuedMessage) -> _Kept | None:
        kept = self._messages.get(message.id)
        if kept is None:
            kept = _Kept(octets_of(message))
            if self._kept + kept.octets > KEPT:
                return None
            self._kept += kept.octets
            self._messages[message.id] = kept
        kept.deliveries += 1
        return kept

    def leave(self, delivery_id: DeliveryId) -> None:
        priority, kept = self._ids.pop(delivery_id)
        self._taken[priority] -= 1
        if kept is not None:
            kept.deliveries -= 1
            if not kept.deliveries:
                self._kept -= kept.octets
                del self._messages[delivery_id[0]]
        if self._left is not None:
            self._left.add(delivery_id)

    def watch(self) -> set[DeliveryId]:
        """Begin to note which deliveries leave, while the store is asked what is due.

        Its answer is older than they are: it may still hold what was delivered meanwhile.
        """
        self._left = set()
        return self._left

    def unwatch(self) -> None:
        self._left = None
