"""The queue as the command line sees it: read-only and synchronous, while the gateway runs or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from mailgw.queue import reading
from mailgw.queue.content import ContentFiles
from mailgw.queue.schema import DATABASE, open_reader
from mailgw.queue.store import Entry, QueueSize, QueueUnusable

P = ParamSpec("P")
T = TypeVar("T")


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

    def entries(self, limit: int, after: str = "") -> Sequence[Entry]:
        """List in the order of message ids, from behind `after`; contents stay on the disk until opened."""
        return self._read(reading.read_entries, self._directory, self._files.path, limit, after)

    def entry(self, message_id: str) -> Entry | None:
        """Give one message with its deliveries and its content, or None when it is not in the queue."""
        message = self._read(reading.read_message, self._files.path, message_id)
        return None if message is None else Entry(message, self._read(reading.read_deliveries, message_id))

    def size(self) -> QueueSize:
        return self._read(reading.read_size)

    def _read(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(self._connection, *args, **kwargs)
        except sqlite3.Error as error:
            raise QueueUnusable(f"cannot read the queue in {self._directory}: {error}") from error
