"""What a command did with messages, noted in the history beside what the gateway does."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from mailgw.history import tables
from mailgw.history.recorder import insert_fate
from mailgw.queue.item import Delivery
from mailgw.state.database import StateUnusable, connect, transact

_BY = "by the command line"


class FateNotes:
    """Notes an event (`released`, `deleted`) in the history of a state directory, where one is kept; says once when
    that fails."""

    def __init__(self, state: Path, event: str) -> None:
        self._path = state / tables.FILE
        self._event = event
        self._connection: sqlite3.Connection | None = None
        self._given_up = not self._path.exists()

    def note(self, deliveries: Sequence[Delivery]) -> None:
        if self._given_up:
            return
        now = time.time()
        rows = [
            (d.message_id, now, self._event, str(d.recipient.forward_path), str(d.destination), "", _BY, 0)
            for d in deliveries
        ]
        try:
            if self._connection is None:
                self._connection = connect(self._path, tables.MIGRATIONS)
            transact(self._connection, [partial(insert_fate, row=row) for row in rows])
        except (StateUnusable, sqlite3.Error) as error:
            self._given_up = True
            click.echo(f"it is done, but not noted in the history: {error}", err=True)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
