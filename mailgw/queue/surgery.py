"""Changes to what waits in a queue, made by a person, while the gateway runs or not.

The changes are made in the database; a running gateway drops what waits in its memory, and reads it again, before it
begins another attempt. An attempt that has begun by then goes on: when it delivers, that stands, else the change holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from math import inf
from pathlib import Path
from time import monotonic
from typing import Concatenate, ParamSpec, TypeVar

from attrs import evolve

from mailgw.queue import quarantine, reading, withdrawal
from mailgw.queue.codec import DeliveryRow, encode_delivery
from mailgw.queue.content import ContentFiles
from mailgw.queue.item import Delivery, DeliveryId, Destination
from mailgw.queue.nudge import nudge
from mailgw.queue.schema import DATABASE, erase, open_database
from mailgw.queue.selection import Selection, condition
from mailgw.queue.store import Entry, QueueSize, QueueUnusable
from mailgw.queue.writer import delete, update

P = ParamSpec("P")
T = TypeVar("T")

HOPS = frozenset({"relay", "forward"})
"""The agents that send to a next hop."""
_PAGE = 500
# Seconds between two words to the gateway while a long change goes on: it reads again what is due, and tries the sites
# that it leaves alone.
_TELL_INTERVAL = 5.0
# Held mail whose time is over so soon may be in the gateway's hands by now, to be thrown away.
_TOO_LATE = 60.0


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
    """Send it to another next hop: `route:NAME`, or `mx:DOMAIN`. Forwarded mail keeps its agent, and so the return path
    that it goes out under."""

    def change(delivery: Delivery) -> Delivery:
        agent = delivery.destination.agent
        return evolve(delivery, destination=Destination(agent if agent in HOPS else "relay", target), due=now)

    return change


def remove(delivery: Delivery) -> None:
    """Throw it away."""


def withdraw(now: float) -> Change:
    """Let it fail: the gateway tells its sender."""
    return lambda delivery: withdrawal.withdraw(delivery, now)


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

    def select(self, selection: Selection) -> QueueSize:
        """Choose what is selected now, for `entries` and `deliveries`; give how much it is."""
        return self._do(_choose, selection)

    def entries(self) -> Iterator[Entry]:
        """Give the chosen messages, the oldest first, each with the chosen deliveries alone. Contents are read when
        asked. What has changed meanwhile is left out."""
        for message_id, deliveries in groupby(self.deliveries(), lambda delivery: delivery.message_id):
            chosen = tuple(deliveries)
            entry = self._do(reading.read_entry, self._directory, self._files.path, message_id)
            if entry is not None:
                yield evolve(entry, deliveries=chosen)

    def deliveries(self) -> Iterator[Delivery]:
        """Give the chosen deliveries that are still as they were chosen, those of the oldest message first."""
        after: DeliveryId = ("", -1)
        while rows := self._do(_read_chosen, after):
            for row in rows:
                delivery = reading.read_delivery(row)
                if delivery is not None:
                    yield delivery
            after = rows[-1][:2]

    def change(
        self,
        deliveries: Iterable[Delivery],
        change: Change,
        done: Callable[[Sequence[Delivery]], None] = lambda _: None,
    ) -> int:
        """Change them, some hundreds at a time, so that the gateway does not wait long for its turn to write.

        Those that were still as they are given are counted, and `done` has them: as they are now, or were when they
        went. Who is interrupted has changed some.
        """
        left = iter(deliveries)
        count = 0
        gone = False
        # The gateway forgets what waits in its memory: whatever it reads again, it checks before an attempt. So nothing
        # goes out against a change, though this is killed before it can tell more.
        nudge(self._directory)
        told = -inf
        try:
            while page := list(islice(left, _PAGE)):
                changes = [(delivery, change(delivery)) for delivery in page]
                changed, files = self._apply(changes)
                count += len(changed)
                gone = gone or any(after is None for _, after in changes)
                # Behind the commit: a crash in between leaves a file, which the next start removes.
                for message_id in files:
                    self._files.remove(message_id)
                if changed and monotonic() - told >= _TELL_INTERVAL:
                    nudge(self._directory)
                    told = monotonic()
                done(changed)
        except sqlite3.Error as error:
            raise QueueUnusable(f"the queue in {self._directory} cannot be changed: {error}") from error
        finally:
            if gone:
                self._erase()
            if count:
                nudge(self._directory)
        return count

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

    def _do(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
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
            pass  # a running gateway does it soon; the deletion stands


def _choose(connection: sqlite3.Connection, selection: Selection) -> QueueSize:
    """Remember them in a table of this connection, which SQLite keeps in memory or in a temporary file: it may be all
    of a long queue."""
    found = condition(connection, selection)
    connection.execute("DROP TABLE IF EXISTS temp.chosen")
    connection.execute(
        "CREATE TEMP TABLE chosen (id TEXT, place INTEGER, way TEXT, PRIMARY KEY (id, place)) WITHOUT ROWID"
    )
    connection.execute(
        f"INSERT INTO chosen SELECT message_id, number, destination FROM {found.source} ORDER BY message_id, number",
        found.values,
    )
    ((messages,), (deliveries,)) = connection.execute(
        "SELECT count(*) FROM (SELECT DISTINCT id FROM chosen) UNION ALL SELECT count(*) FROM chosen"
    )
    return QueueSize(messages, deliveries)


def _read_chosen(connection: sqlite3.Connection, after: DeliveryId) -> list[DeliveryRow]:
    # What went, or goes elsewhere by now, is passed over; a page is empty at the end only.
    return connection.execute(
        f"SELECT {reading.DELIVERY} FROM chosen CROSS JOIN deliveries"
        " ON message_id = id AND number = place AND destination = way"
        " WHERE (id, place) > (?, ?) ORDER BY id, place LIMIT ?",
        (*after, _PAGE),
    ).fetchall()
