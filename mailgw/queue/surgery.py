"""Changes to what waits in a queue, made by a person, while the gateway runs or not.

The changes are made in the database; a running gateway drops what waits in its memory, and reads it again, within a
second or so. An attempt that has begun by then goes on: when it delivers or fails for good, that stands, else the
change holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from attrs import evolve, frozen

from mailgw.queue import quarantine, reading
from mailgw.queue.codec import encode_delivery
from mailgw.queue.content import ContentFiles
from mailgw.queue.item import Delivery, Destination, QueuedMessage
from mailgw.queue.nudge import nudge
from mailgw.queue.schema import DATABASE, erase, open_database
from mailgw.queue.store import Entry, QueueUnusable
from mailgw.queue.writer import delete, update

P = ParamSpec("P")
T = TypeVar("T")

_PAGE = 500
# Held mail whose time is over so soon may be in the gateway's hands by now, to be thrown away.
_TOO_LATE = 60.0


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
"""Gives what a delivery becomes: None, it goes; the same, it is left alone."""


def flush(now: float) -> Change:
    """Try it now. Its age, and how often it was tried, stay."""
    return lambda delivery: evolve(delivery, due=now)


def hold(until: float) -> Change:
    """Keep it in quarantine until somebody releases it, or that time comes."""
    return lambda delivery: quarantine.hold(delivery, until)


def release(now: float, lifetime: float) -> Change:
    """Let it out of quarantine, for `lifetime` seconds; not what is about to be thrown away."""
    return lambda delivery: quarantine.release(delivery, now, lifetime) if _is_in_time(delivery, now) else delivery


def discard(now: float) -> Change:
    """Throw away what is in quarantine; not what is about to be thrown away by itself."""
    return lambda delivery: None if _is_in_time(delivery, now) else delivery


def _is_in_time(delivery: Delivery, now: float) -> bool:
    return delivery.due > now + _TOO_LATE


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

    def close(self) -> None:
        self._connection.close()

    def select(self, selection: Selection, *, held: bool = False) -> Iterator[Entry]:
        """Give the messages with deliveries that are selected, the oldest first, each with these alone: of those in
        quarantine (`held`), or of the others. Contents are read when asked."""
        for entry in self._candidates(selection, held):
            chosen = selection.of(entry.message, entry.deliveries)
            chosen = tuple(delivery for delivery in chosen if quarantine.is_held(delivery) == held)
            if chosen:
                yield evolve(entry, deliveries=chosen)

    def change(self, entries: Iterable[Entry], change: Change) -> list[Delivery]:
        """Change them, some hundreds at a time, so that the gateway does not wait long for its turn to write. Give
        those that were still as they were selected: as they are now, or were when they went."""
        deliveries = (delivery for entry in entries for delivery in entry.deliveries)
        changed: list[Delivery] = []
        gone = False
        while page := list(islice(deliveries, _PAGE)):
            changes = [(delivery, change(delivery)) for delivery in page]
            try:
                done, files = self._apply(changes)
            except sqlite3.Error as error:
                raise QueueUnusable(f"the queue in {self._directory} cannot be changed: {error}") from error
            changed += done
            gone = gone or any(after is None for _, after in changes)
            for (
                message_id
            ) in files:  # behind the commit: a crash in between leaves a file, which the next start removes
                self._files.remove(message_id)
        if gone:
            self._erase()
        if changed:
            nudge(self._directory)
        return changed

    def _apply(self, changes: Sequence[tuple[Delivery, Delivery | None]]) -> tuple[list[Delivery], list[str]]:
        """Change all of them, or none. The gateway may have settled some: what is not there is not brought back."""
        done: list[Delivery] = []
        files: list[str] = []
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for before, after in changes:
                if after is before or not self._is_there(before):
                    continue
                if after is None:
                    files += delete(self._connection, [before.id])
                else:
                    update(self._connection, encode_delivery(after))
                done.append(after or before)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return done, files

    def _candidates(self, selection: Selection, held: bool) -> Iterator[Entry]:
        """Give messages among which are all that are selected, without a look at the rest where there is a way."""
        if selection.ids:
            yield from self._read_each(sorted(selection.ids))
        elif held:
            query = "SELECT DISTINCT message_id FROM deliveries WHERE destination LIKE ? ORDER BY message_id"
            rows = self._read(lambda c: c.execute(query, (f"{quarantine.AGENT}:%",)).fetchall())
            yield from self._read_each([message_id for (message_id,) in rows])
        else:
            after = ""
            while page := self._read(reading.read_entries, self._directory, self._files.path, _PAGE, after):
                yield from page
                after = page[-1].message.id

    def _read_each(self, message_ids: Iterable[str]) -> Iterator[Entry]:
        for message_id in message_ids:
            deliveries = self._read(reading.read_deliveries, message_id)
            message = self._read(reading.read_message, self._files.path, message_id) if deliveries else None
            if message is not None:
                yield Entry(message, tuple(deliveries))

    def _read(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(self._connection, *args, **kwargs)
        except (sqlite3.Error, OSError) as error:
            raise QueueUnusable(f"the queue in {self._directory} cannot be read: {error}") from error

    def _is_there(self, delivery: Delivery) -> bool:
        query = "SELECT 1 FROM deliveries WHERE message_id = ? AND number = ? AND destination = ?"
        return self._connection.execute(query, (*delivery.id, str(delivery.destination))).fetchone() is not None

    def _erase(self) -> None:
        try:
            erase(self._connection)
        except sqlite3.Error:
            pass  # a running gateway does it after its next message; the deletion stands
