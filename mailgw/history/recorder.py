"""The recorder: takes what happens on the mail's way, and has it written behind it."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from functools import partial
from itertools import islice
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.config.schema import History
from mailgw.history.kept import pack, text_of
from mailgw.history.tables import FILE
from mailgw.mail.message import Message
from mailgw.mail.reply import Reply, TemporaryFailure
from mailgw.mail.transaction import Transaction
from mailgw.queue.item import Delivery, QueuedMessage
from mailgw.queue.store import Entry
from mailgw.state.database import Database
from mailgw.verdict.judgement import Judged

# What waits to be written; when the disk does not keep up, what comes then is not kept.
_MAX_WAITING = 20_000
_WRITE_INTERVAL = 1.0
# What is written in a transaction: others may want to write in between.
_WRITE_ROWS = 2000
_PRUNE_INTERVAL = 600.0
_PRUNE_ROWS = 2000
# From what is worst to what is best: the action of a message that had several verdicts.
_WORST = ("reject", "defer", "greylist", "hold", "discard", "spam", "inbox")

# Errors that say something of a row, and nothing of the storage.
_OF_THE_ROW = (ValueError, TypeError, OverflowError, sqlite3.IntegrityError, sqlite3.ProgrammingError)

_Write = Callable[[sqlite3.Connection], object]


class Recorder:
    """Implements reception.acceptance.Recorder and queue.agent.FateObserver. Nothing here blocks or raises: rows are
    made, packed and written in the database's thread, many at a time."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, database: Database, settings: History, clock: IReactorTime) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._waiting: deque[_Write] = deque()
        self._full = False
        self._failing = False
        self._pruning = LoopingCall(lambda: Deferred.fromCoroutine(self._prune()))
        self._writing = LoopingCall(lambda: Deferred.fromCoroutine(self.write()))
        self._pruning.clock = self._writing.clock = clock

    def start(self) -> None:
        self._pruning.start(_PRUNE_INTERVAL, now=True)
        self._writing.start(_WRITE_INTERVAL, now=False)

    async def stop(self) -> None:
        for loop in (self._pruning, self._writing):
            if loop.running and (ended := loop.deferred) is not None:
                loop.stop()
                await ended
        await self.write()

    # What happens

    def record(self, transaction: Transaction, results: Sequence[tuple[Judged, str]], reply: Reply) -> None:
        message = transaction.message
        assert message is not None
        # The message itself is not held: it may be large. The rest is immutable, or grows no more.
        head = _Head(message)
        now, client, envelope = self._clock.seconds(), transaction.client, transaction.envelope
        auth, evidence, name = tuple(transaction.auth), tuple(transaction.evidence), transaction.id

        def write(connection: sqlite3.Connection) -> None:
            recipients = [str(recipient.forward_path) for recipient in envelope.recipients]
            action = min((one.verdict.action for one, _ in results), key=_WORST.index) if results else "reject"
            score = max((one.verdict.score for one, _ in results), default=None)
            connection.execute(
                "INSERT OR IGNORE INTO messages VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,'')",
                (
                    name,
                    now,
                    client.service,
                    client.address,
                    text_of(envelope.reverse_path),
                    head.author,
                    " ".join(recipients),
                    head.subject,
                    head.message_id,
                    head.size,
                    action,
                    score,
                    str(reply),
                ),
            )
            connection.execute(
                "INSERT OR IGNORE INTO details VALUES (?,?)",
                (name, pack(client, recipients, auth, evidence, results)),
            )
            for _, message_id in results:
                if message_id and message_id != name:
                    connection.execute("INSERT OR IGNORE INTO copies VALUES (?,?)", (message_id, name))

        self._keep(write)

    def fate(
        self,
        message: QueuedMessage,
        delivery: Delivery,
        event: str,
        *,
        remote: str = "",
        detail: str = "",
    ) -> None:
        row = (
            message.id,
            self._clock.seconds(),
            event,
            str(delivery.recipient.forward_path),
            str(delivery.destination),
            _storable(remote),
            _storable(detail),
            delivery.attempts,
        )
        self._keep(lambda connection: insert_fate(connection, row))

    def report(self, message: QueuedMessage, entry: Entry) -> None:
        """A report about a message was put: a message of its own, which names the other."""
        report = entry.message
        head = _Head(report.message)
        recipients = " ".join(str(recipient.forward_path) for recipient in report.envelope.recipients)
        values: tuple[Any, ...] = (report.id, report.received, "report", "", "", head.author, recipients)
        values += (head.subject, head.message_id, head.size, "inbox", None, "", message.id)

        def write(connection: sqlite3.Connection) -> None:
            places = ",".join("?" * len(values))
            connection.execute(f"INSERT OR IGNORE INTO messages VALUES (NULL,{places})", values)

        self._keep(write)

    # How it is written

    def _keep(self, write: _Write) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            if not self._full:
                self.log.warn("the disk does not keep up: {file} misses messages", event="history_lost", file=FILE)
            self._full = True
            return
        self._full = False
        self._waiting.append(write)

    async def write(self) -> None:
        """Write what waits. What the disk does not take now stays. Never raises."""
        while batch := tuple(islice(self._waiting, _WRITE_ROWS)):
            try:
                errors = await self._database.write(partial(_write_all, writes=batch))
            except TemporaryFailure as failure:
                if not self._failing:
                    self.log.warn("{file} waits: {reason}", event="history_failed", file=FILE, reason=failure.cause)
                self._failing = True
                return
            except Exception:
                self.log.failure("{file} misses messages", event="history_lost", file=FILE)
                errors = []
            self._failing = False
            for _ in batch:
                self._waiting.popleft()
            for error in errors:
                self.log.failure("{file} misses a row", Failure(error), event="history_lost", file=FILE)

    async def _prune(self) -> None:
        """Forget what is too old, or too much. Never raises."""
        before = self._clock.seconds() - self._settings.lifetime
        try:
            while await self._database.write(lambda connection: prune(connection, before, self._settings.size)):
                pass
        except TemporaryFailure as failure:
            self.log.warn("{file} cannot be cut: {reason}", event="history_failed", file=FILE, reason=failure.cause)
        except Exception:
            self.log.failure("{file} cannot be cut", event="history_failed", file=FILE)


def _write_all(connection: sqlite3.Connection, writes: Sequence[_Write]) -> list[Exception]:
    """Write rows in a transaction; one that has no form in the database costs no other. Give what was wrong."""
    errors: list[Exception] = []
    for write in writes:
        try:
            write(connection)
        except _OF_THE_ROW as error:
            errors.append(error)
    return errors


def insert_fate(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    """Write a row of `fates`."""
    connection.execute("INSERT INTO fates VALUES (?,?,?,?,?,?,?,?)", row)


def prune(connection: sqlite3.Connection, before: float, size: int) -> bool:
    """Forget the oldest messages, when they are older than `before`, or all take more than `size` octets. Say whether
    there may be more of them."""
    limit = before
    pages, free, page_size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * page_size > size:
        limit = float("inf")
    ids = connection.execute(
        "SELECT id FROM messages WHERE time < ? ORDER BY time LIMIT ?", (limit, _PRUNE_ROWS)
    ).fetchall()
    for statement in (
        "DELETE FROM messages WHERE id = ?",
        "DELETE FROM details WHERE id = ?",
        "DELETE FROM fates WHERE message IN (SELECT id FROM copies WHERE original = ?)",
        "DELETE FROM copies WHERE original = ?",
        "DELETE FROM fates WHERE message = ?",
    ):
        connection.executemany(statement, ids)
    return len(ids) == _PRUNE_ROWS


class _Head:
    """What of a header is kept; decoded when it is asked for."""

    def __init__(self, message: Message) -> None:
        self.size = message.size
        self._fields = {name: message.get(name) for name in ("subject", "from", "message-id")}

    @property
    def subject(self) -> str:
        return self._text("subject")

    @property
    def author(self) -> str:
        return self._text("from")

    @property
    def message_id(self) -> str:
        return self._text("message-id")

    def _text(self, name: str) -> str:
        field = self._fields[name]
        if field is None:
            return ""
        text = field.text[:1000]
        if "=?" in text:
            try:
                text = str(make_header(decode_header(text)))
            except (HeaderParseError, LookupError, ValueError):
                pass
        return _storable(text[:500])


def _storable(text: str) -> str:
    """A lone surrogate has no form in UTF-8, and what a remote said may hold anything."""
    return text if text.isascii() else text.encode(errors="replace").decode()
