"""Changes to what waits in a queue, made by a person, while the gateway runs or not.

The changes are made in the database; a running gateway drops what waits in its memory, and reads it again, within a
second or so. An attempt that has begun by then goes on: when it delivers or fails for good, that stands, else the
change holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import evolve, frozen

from mailgw.queue import quarantine, reading
from mailgw.queue.codec import encode_delivery
from mailgw.queue.content import ContentFiles
from mailgw.queue.held import nudge
from mailgw.queue.item import Delivery, DeliveryId, Destination, QueuedMessage
from mailgw.queue.schema import DATABASE, erase, open_database
from mailgw.queue.store import Entry, QueueUnusable
from mailgw.queue.writer import delete, update

_PAGE = 500


@frozen
class Selection:
    """Which deliveries. Patterns are for the whole text, with `*` and `?`, in any case; empty ones select all."""

    ids: frozenset[str] = frozenset()
    sender: str = ""
    recipient: str = ""
    destination: str = ""
    """As in the log: `relay:mx:example.org`, `relay:route:smart`, `maildir:alice@example.org/inbox`."""
    reason: str = ""
    """For what the last attempt said."""
    since: float | None = None
    until: float | None = None
    """When it was received, wall clock; `until` itself is not in it."""

    @property
    def is_all(self) -> bool:
        return self == Selection()

    def of(self, message: QueuedMessage, deliveries: tuple[Delivery, ...]) -> tuple[Delivery, ...]:
        """Give those of a message's deliveries that are selected."""
        sender = str(message.envelope.reverse_path or "<>")
        if self.ids and message.id not in self.ids:
            return ()
        if not (_fits(self.sender, sender) or (message.identity and _fits(self.sender, message.identity))):
            return ()
        if (self.since is not None and message.received < self.since) or (
            self.until is not None and message.received >= self.until
        ):
            return ()
        return tuple(
            delivery
            for delivery in deliveries
            if _fits(self.recipient, str(delivery.recipient.forward_path))
            and _fits(self.destination, str(delivery.destination))
            and _fits(self.reason, delivery.last)
        )


def _fits(pattern: str, text: str) -> bool:
    # Brackets are common in what remotes say, and in address literals: here they are only themselves.
    return not pattern or fnmatchcase(text.lower(), pattern.lower().replace("[", "[[]"))


Change = Callable[[Delivery], Delivery | None]
"""Gives what a delivery becomes; None: it goes."""


def flush(now: float) -> Change:
    """Try it now. Its age, and how often it was tried, stay."""
    return lambda delivery: evolve(delivery, due=now)


def hold(until: float) -> Change:
    """Keep it in quarantine until somebody releases it, or that time comes."""
    return lambda delivery: quarantine.hold(delivery, until)


def release(now: float, lifetime: float) -> Change:
    return lambda delivery: quarantine.release(delivery, now, lifetime)


def reroute(target: str, now: float) -> Change:
    """Send it to another next hop: `route:NAME`, or `mx:DOMAIN`."""
    return lambda delivery: evolve(delivery, destination=Destination("relay", target), due=now)


def remove(delivery: Delivery) -> None:
    """Throw it away."""


class Surgery:
    """A queue's directory, to be changed. Every method raises QueueUnusable, with words for the user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = ContentFiles(directory / "content")
        if not (directory / DATABASE).exists():
            raise QueueUnusable(f"{directory} holds no queue: has the gateway run with this state_directory?")
        try:
            self._connection = open_database(directory)
        except sqlite3.Error as error:
            raise QueueUnusable(f"cannot open the queue in {directory}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def select(self, selection: Selection, *, held: bool = False) -> Iterator[Entry]:
        """Give the messages with deliveries that are selected, the oldest first, each with these alone: of those in
        quarantine (`held`), or of the others."""
        after = ""
        while page := self._page(after):
            for entry in page:
                chosen = selection.of(entry.message, entry.deliveries)
                chosen = tuple(d for d in chosen if quarantine.is_held(d) == held)
                if chosen:
                    yield evolve(entry, deliveries=chosen)
            after = page[-1].message.id

    def change(self, entries: list[Entry], change: Change) -> int:
        """Change all of them, or none; give how many deliveries were still as they were selected."""
        rows, gone = [], []
        for delivery in (delivery for entry in entries for delivery in entry.deliveries):
            changed = change(delivery)
            if changed is None:
                gone.append(delivery)
            else:
                rows.append((delivery, changed))
        try:
            count, files = self._apply(rows, gone)
        except sqlite3.Error as error:
            raise QueueUnusable(f"the queue in {self._directory} cannot be changed: {error}") from error
        for message_id in files:  # behind the commit: a crash in between leaves a file, which the next start removes
            self._files.remove(message_id)
        if gone:
            self._erase()
        nudge(self._directory)
        return count

    def _apply(self, rows: list[tuple[Delivery, Delivery]], gone: list[Delivery]) -> tuple[int, list[str]]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            # The gateway may have settled some meanwhile: what is not there any more is not brought back.
            count = sum(
                self._is_there(before) and update(self._connection, [encode_delivery(after)], before.destination)
                for before, after in rows
            )
            there: list[DeliveryId] = [delivery.id for delivery in gone if self._is_there(delivery)]
            files = delete(self._connection, there) if there else []
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return count + len(there), files

    def _is_there(self, delivery: Delivery) -> bool:
        query = "SELECT 1 FROM deliveries WHERE message_id = ? AND number = ? AND destination = ?"
        return self._connection.execute(query, (*delivery.id, str(delivery.destination))).fetchone() is not None

    def _page(self, after: str) -> list[Entry]:
        try:
            return list(reading.read_entries(self._connection, self._directory, self._files.path, _PAGE, after))
        except (sqlite3.Error, OSError) as error:
            raise QueueUnusable(f"cannot read the queue in {self._directory}: {error}") from error

    def _erase(self) -> None:
        try:
            erase(self._connection)
        except sqlite3.Error:
            pass  # a running gateway does it after its next message; the deletion stands
