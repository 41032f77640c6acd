"""The interface of a queue store, and what passes through it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Protocol

from attrs import frozen

from mailgw.mail.message import Content
from mailgw.queue.item import Delivery, DeliveryId, Priority, QueuedMessage


class QueueUnusable(Exception):
    """The queue cannot be opened as things are; the text names the place and says what to do."""


@frozen
class Entry:
    """A message with its deliveries: what is put, and what is listed."""

    message: QueuedMessage
    deliveries: tuple[Delivery, ...]


@frozen
class Settlement:
    """What to write for a delivery after an attempt: `retry` is its new state, or None when it is gone."""

    id: DeliveryId
    retry: Delivery | None = None
    destination: str = ""
    """Where it was to go when it is given up: it goes only if it is still to go there. A person may have sent it
    elsewhere, or hold it, while the outcome waited to be written."""


@frozen
class QueueSize:
    messages: int
    deliveries: int


class ContentWriter(Protocol):
    """Takes a message's content as it comes in; small content stays in memory, larger goes to a file.

    `write` returns None when it is done at once, or an awaitable to wait for before the next write (back-pressure
    of the disk). Raises TemporaryFailure when the disk fails (full, gone).
    """

    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> Content:
        """Give what was written; nothing may be written after it."""
        ...

    async def abort(self) -> None:
        """Forget what was written, and remove its file, after `finish` too. Harmless when called again.

        Not to be called once `put` has taken the content.
        """
        ...


class QueueStore(Protocol):
    """Durable memory of what was accepted. Every method raises TemporaryFailure when the storage fails."""

    async def open(self) -> None:
        """Make it ready; remove files that no row holds. Raises QueueUnusable when only a person can help."""
        ...

    async def close(self) -> None:
        """End after everything that is under way is written."""
        ...

    def new_content(self, message_id: str) -> ContentWriter: ...

    async def put(self, *entries: Entry) -> None:
        """Return when all the entries are durable: only then may the 250 be said. On failure none is there."""
        ...

    async def copy(self, content: Content, message_id: str) -> Content:
        """Give a content that another writer of this store has finished, for a message more that is to be put with
        it. When that is not put, `discard` it."""
        ...

    async def discard(self, content: Content) -> None:
        """Forget what `copy` gave. Raises nothing."""
        ...

    async def settle(self, settlements: Sequence[Settlement], reports: Sequence[Entry] = ()) -> None:
        """Write the outcome of attempts and put the reports that follow from them, all or nothing.

        A message whose last delivery is gone goes too, with its content.
        """
        ...

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
        """Give the deliveries that are due from `since` to `before` (both included), earliest first.

        Leaves out those in `skip`. With `destination` (a Destination as text) gives only those for it; with
        `without` none for these: so a long backlog for one destination is passed over without being read. With
        `priority` only those of that one.
        """
        ...

    async def next_due(self, after: float = -math.inf, *, priority: Priority | None = None) -> float | None:
        """Give the earliest due time behind `after` (of one priority), or None when there is none."""
        ...

    async def message(self, message_id: str) -> QueuedMessage | None: ...

    async def standing(self, deliveries: Sequence[Delivery]) -> Entry | None:
        """Read a message again with those of these deliveries of it that still go where they are said to go; None
        when none does. Somebody else may have removed them, or sent them elsewhere."""
        ...

    def changed(self) -> bool:
        """Say whether somebody else (a command) has changed it since this was last asked. Costs next to nothing."""
        ...

    async def entries(self, limit: int, after: str = "") -> Sequence[Entry]:
        """List the queue in the order of message ids, from behind `after`; contents are not read into memory."""
        ...

    async def size(self) -> QueueSize: ...
