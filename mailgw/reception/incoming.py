"""A message on its way in: its content goes to the store as it comes, by DATA at once or by BDAT in chunks."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.mail.message import MAX_HEADER, BytesContent, Content, Message, head_of
from mailgw.queue.store import ContentWriter
from mailgw.reception.link import Link, LinkEnded
from mailgw.smtp import events


class NoWriter:
    """Takes the place of a writer that the store would not give: `error` comes once the octets of the chunk are read
    (RFC 3030 2)."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def write(self, data: bytes) -> None:
        raise self._error

    async def finish(self) -> Content:
        raise self._error

    async def abort(self) -> None:
        pass


class Incoming:
    """One message. `id` is the transaction's. Whoever makes it sees to it that `abort` or `abandon` is called, but
    where the queue has taken what `message` gave."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, transaction_id: str, writer: ContentWriter) -> None:
        self.id = transaction_id
        self._writer = writer
        self._head = bytearray()
        self._head_done = False
        self._failure: Exception | None = None

    async def receive(self, link: Link, limit: float) -> events.ChunkEnd | events.ContentEnd:
        """Write the content as it comes, up to the end of the chunk or the message; `limit` is for its next bytes.

        A failing disk does not end it: the rest is read and dropped, so that content never becomes commands. Then
        raises what the writer raised.
        """
        while True:
            event = await link.next_event(limit)
            if isinstance(event, events.Content):
                await self._write(event.data)
            elif isinstance(event, events.ContentEnd | events.ChunkEnd):
                if self._failure is not None and event.problem is None:
                    raise self._failure
                return event
            else:
                raise LinkEnded(f"unexpected {type(event).__name__} in a message")

    async def _write(self, data: bytes) -> None:
        if self._failure is not None:
            return
        if not self._head_done:
            self._head += data[: MAX_HEADER - len(self._head)]
            self._head_done = len(self._head) >= MAX_HEADER or b"\r\n\r\n" in self._head
        try:
            await self._writer.write(data)
        except Exception as error:
            self._failure = error

    async def message(self) -> Message:
        """Give the whole message, once it has come. Raises TemporaryFailure."""
        content = await self._writer.finish()
        if isinstance(content, BytesContent):
            return Message.from_bytes(content.data)
        return Message(content, head_of(bytes(self._head)))

    async def abort(self) -> None:
        """Forget what came."""
        await self._writer.abort()

    def abandon(self) -> None:
        """Forget what came, without waiting for the disk."""
        Deferred.fromCoroutine(self._writer.abort()).addErrback(self._not_removed)

    def _not_removed(self, failure: Failure) -> None:
        self.log.failure("cannot remove what came of {transaction}", failure, event="error", transaction=self.id)
