"""What is to be written to connections, until the end of the reactor's turn."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.tcp import Connection

# The kernel takes 1024 (IOV_MAX), and short ones are put together as quickly.
_MAX_PIECES = 16


class Outbox:
    """Gathers what is written to connections within a turn of the reactor, and writes it at the turn's end.

    Twisted has the kernel tell when a connection can take data, writes them then, and has it tell no more: three calls
    and a round through the reactor for each reply, which nearly always fits into the kernel's buffer. What does not,
    and every failure, is left to Twisted; so is TLS. Replies to commands that came together go out together (RFC 2920
    3.2), and peers are woken when we have done the work of a turn, not each time in the middle of it.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[Any, list[bytes]] = {}

    def write(self, transport: Any, data: bytes) -> None:
        """Write as `transport.write` does."""
        if not isinstance(transport, Connection) or transport.TLS:
            transport.write(data)
            return
        pieces = self._waiting.get(transport)
        if pieces is not None:
            pieces.append(data)
            return
        if not self._waiting:
            self._clock.callLater(0, self.flush)
        self._waiting[transport] = [data]

    def flush(self) -> None:
        """Write all now. Needed before something else than `write` is done with a transport, but for closing it."""
        waiting, self._waiting = self._waiting, {}
        for transport, pieces in waiting.items():
            # Behind data that Twisted holds for want of room there is none.
            sent = 0
            if transport.connected and not (transport.dataBuffer or transport._tempDataLen):
                if len(pieces) > _MAX_PIECES:
                    pieces = [b"".join(pieces)]
                try:
                    # One call for all, without putting large contents together first.
                    sent = transport.socket.sendmsg(pieces) if len(pieces) > 1 else transport.socket.send(pieces[0])
                except OSError:  # no room, or the connection is gone: the reactor comes upon that as well
                    pass
            for piece in pieces:
                if sent < len(piece):
                    transport.write(piece[sent:] if sent else piece)
                sent = max(0, sent - len(piece))
