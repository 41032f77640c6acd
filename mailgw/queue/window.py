"""The window: which deliveries are in memory. Whatever is in it is not read from the store again."""

from __future__ import annotations

from mailgw.mail.message import BytesContent
from mailgw.queue.item import DeliveryId, QueuedMessage

# Messages that are kept with their deliveries, so that they need not be read again: octets of content, all together.
_KEPT = 32 * 1024 * 1024


def may_grow(mine: int, free: int) -> bool:
    """Whether someone who has `mine` of something limited may take one more of the `free`.

    Dynamic thresholds (Choudhury and Hahne 1998): each may have up to four times what is free, and the last is for
    who has nothing. One alone gets nearly four fifths; however many are greedy, something stays for a newcomer.
    """
    return free > 0 and (mine == 0 or mine < 4 * (free - 1))


class Window:
    def __init__(self, size: int) -> None:
        self.size = size
        self._kept = 0
        self._octets: dict[DeliveryId, int] = {}
        self._left: set[DeliveryId] | None = None

    @property
    def room(self) -> int:
        return self.size - len(self._octets)

    @property
    def ids(self) -> frozenset[DeliveryId]:
        return frozenset(self._octets)

    def __contains__(self, delivery_id: DeliveryId) -> bool:
        return delivery_id in self._octets

    def enter(self, delivery_id: DeliveryId, message: QueuedMessage | None = None) -> QueuedMessage | None:
        """Take it in; give the message back when it may be kept with it."""
        octets = 0
        if message is not None:
            content = message.message.content
            octets = content.size if isinstance(content, BytesContent) else 0
            if self._kept + octets > _KEPT:
                message, octets = None, 0
        self._kept += octets
        self._octets[delivery_id] = octets
        return message

    def leave(self, delivery_id: DeliveryId) -> None:
        self._kept -= self._octets.pop(delivery_id)
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
