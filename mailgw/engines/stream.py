"""The stream to an engine as the dialogues see it: bytes both ways, both bounded by who waits."""

from __future__ import annotations

from typing import Protocol

from mailgw.engines.errors import Broken

_MOST = 1024 * 1024
"""Octets that the answer to one message may have."""


class Stream(Protocol):
    """A connection that is up."""

    @property
    def answered(self) -> bool:
        """Whether something came that was not received yet, or no more can come: it is no use to send on."""
        ...

    async def send(self, data: bytes) -> None:
        """Returns when there is room for more. What is sent over a lost connection goes nowhere: `receive` tells."""
        ...

    def finish(self) -> None:
        """Say that nothing more is sent (the end of the stream in that direction)."""
        ...

    async def receive(self) -> bytes:
        """Give what came, at least one octet; b"" when the peer has closed. Raises Broken when it takes too long or the
        connection is lost in another way."""
        ...


class Reader(Protocol):
    """Reads one answer, bytes in any pieces."""

    def feed(self, data: bytes) -> bool:
        """Take what came, b"" for the end; give whether the answer is complete. Raises Broken for what is none."""
        ...


async def read(stream: Stream, reader: Reader) -> None:
    """Receive until the answer is complete. Raises Broken."""
    taken = 0
    while True:
        data = await stream.receive()
        if reader.feed(data):
            return
        taken += len(data)
        if not data:
            raise Broken("it closed the connection in the middle of its answer")
        if taken > _MOST:
            raise Broken(f"its answer has more than {_MOST} octets")
