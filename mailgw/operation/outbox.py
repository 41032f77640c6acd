"""What is to be written to connections, until the end of the reactor's turn."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.tcp import Connection


class Outbox:
    """Gathers what is written to connections within a turn of the reactor, and writes it at the turn's end.

    Twisted has the kernel tell when a connection can take data, writes them then, and has it tell no more: three calls
    and a round through the reactor for each reply, which nearly always fits into the kernel's buffer. What does not,
    and every failure, is left to Twisted; so is TLS. Replies to commands that came together go out together (RFC 2920
    3.2), and peers are woken when we have done the work of a turn, not each time in the middle of it.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[Any, bytes] = {}

    def write(self, transport: Any, data: bytes) -> None:
        """Write as `transport.write` does."""
        if not isinstance(transport, Connection) or transport.TLS:
            transport.write(data)
            return
        before = self._waiting.get(transport)
        if before is not None:
            data = before + data
        elif not self._waiting:
            self._clock.callLater(0, self.flush)
        self._waiting[transport] = data

    def flush(self) -> None:
        """Write all now. Needed before something else than `write` is done with a transport, but for closing it."""
        waiting, self._waiting = self._waiting, {}
        for transport, data in waiting.items():
            # Behind data that Twisted holds for want of room there is none.
            if transport.connected and not (transport.dataBuffer or transport._tempDataLen):
                try:
                    sent = transport.socket.send(data)
                except OSError:  # no room, or the connection is gone: the reactor comes upon that as well
                    sent = 0
                if sent == len(data):
                    continue
                data = data[sent:]
            transport.write(data)
