"""The message in pieces, on its way to an engine: never whole in memory beside the copy that is there."""

from __future__ import annotations

from collections.abc import Callable

from mailgw.engines.stream import Stream
from mailgw.mail.message import FileContent, Message
from mailgw.operation.threads import Threads

_PIECE = 256 * 1024
"""Read at a time from a file: a hop between threads costs as much as reading some 100 KB."""


class Pieces:
    """Gives the content of a message piece by piece, from octet `start` on, each of at most `size` octets."""

    def __init__(self, message: Message, threads: Threads, *, start: int = 0, size: int = _PIECE) -> None:
        self._source = message.output(_PIECE)
        self._threads = threads
        self._in_file = isinstance(message.content, FileContent)
        self._skip = start
        self._size = size
        self._view = memoryview(b"")

    async def next(self) -> bytes:
        """Give the next piece; b"" when there is no more."""
        while not self._view:
            data = await self._threads.run(next, self._source, None) if self._in_file else next(self._source, None)
            if data is None:
                return b""
            self._view = memoryview(data)[self._skip :]
            self._skip = max(self._skip - len(data), 0)
        piece, self._view = self._view[: self._size], self._view[self._size :]
        return bytes(piece)


async def send_content(
    stream: Stream,
    pieces: Pieces,
    head: bytes = b"",
    frame: Callable[[bytes], bytes] = lambda piece: piece,
    tail: bytes = b"",
) -> None:
    """Send the head, each piece in its frame, the tail; no more when the engine answers before the end.

    A small message goes out as one write.
    """
    waiting = head
    while not stream.answered and (piece := await pieces.next()):
        waiting += frame(piece)
        if len(waiting) >= _PIECE:
            await stream.send(waiting)
            waiting = b""
    if not stream.answered:
        await stream.send(waiting + tail)
