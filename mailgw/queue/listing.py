"""The queue as the command line sees it: read-only and synchronous, while the gateway runs or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from attrs import evolve

from mailgw.queue import reading
from mailgw.queue.content import ContentFiles
from mailgw.queue.schema import DATABASE, open_reader
from mailgw.queue.selection import Selection, condition, count, destinations, numbers_of, select_messages
from mailgw.queue.store import Entry, QueueSize, QueueUnusable
from mailgw.queue.summary import DestinationSummary, summarise

P = ParamSpec("P")
T = TypeVar("T")

_PAGE = 200
_ALL = Selection()


class Listing:
    """Reads the queue in a directory. Every method raises QueueUnusable, with words for the user."""

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)
        self._files = ContentFiles(self._directory / "content")
        if not (self._directory / DATABASE).exists():
            raise QueueUnusable(f"{self._directory} holds no queue: has the gateway run with this state_directory?")
        try:
            self._connection = open_reader(self._directory)
        except sqlite3.Error as error:
            raise QueueUnusable(f"cannot read the queue in {self._directory}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def entries(self, limit: int, selection: Selection = _ALL) -> Iterator[Entry]:
        """Give the first messages of which something is selected, in the order of ids, each with that; contents stay
        on the disk until opened."""
        found = self._read(condition, selection)
        ids = select_messages(self._connection, found, limit)
        while page := self._read(lambda _: list(islice(ids, _PAGE))):
            for message_id in page:
                entry = self._read(reading.read_entry, self._directory, self._files.path, message_id)
                numbers = self._read(numbers_of, found, message_id)
                deliveries = () if entry is None else tuple(d for d in entry.deliveries if d.number in numbers)
                if entry is not None and deliveries:  # else it left meanwhile
                    yield evolve(entry, deliveries=deliveries)

    def entry(self, message_id: str) -> Entry | None:
        """Give one message with its deliveries and its content, or None when it is not in the queue."""
        message = self._read(reading.read_message, self._files.path, message_id)
        return None if message is None else Entry(message, self._read(reading.read_deliveries, message_id))

    def size(self, selection: Selection = _ALL) -> QueueSize:
        """Count what is selected."""
        if selection == _ALL:
            return self._read(reading.read_size)
        return self._read(count, self._read(condition, selection))

    def destinations(self) -> list[str]:
        """Give all that deliveries wait for."""
        return self._read(destinations)

    def summary(self, selection: Selection, now: float) -> list[DestinationSummary]:
        """Give what is selected by destination."""
        return self._read(summarise, self._read(condition, selection), now)

    def _read(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(self._connection, *args, **kwargs)
        except sqlite3.Error as error:
            raise QueueUnusable(f"cannot read the queue in {self._directory}: {error}") from error
