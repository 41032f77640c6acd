"""The link: one connection as a session sees it. Bytes and timers below, events and replies above."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from mailgw.config.schema import Timeouts
from mailgw.mail.reply import Reply
from mailgw.operation.deadline import Deadline
from mailgw.operation.outbox import Outbox
from mailgw.operation.tlsengine import TlsEngine
from mailgw.smtp.events import Event
from mailgw.smtp.server import ServerConnection


class LinkEnded(Exception):
    """There will be no further event. `reply` is what the client is told, or None when it is gone."""

    def __init__(self, reason: str, reply: Reply | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reply = reply


class _Silence(LinkEnded):
    """The client said nothing in time."""


_TIMED_OUT = Reply(421, "4.4.2", ("Timed out waiting for you, closing the connection",), close=True)
_SESSION_TOO_LONG = Reply(421, "4.4.2", ("The session has lasted too long, closing the connection",), close=True)
_GIVE_ROOM = Reply(421, "4.3.2", ("Too many connections, closing this idle one; please try again later",), close=True)
_SHUTTING_DOWN = Reply(421, "4.3.2", ("Shutting down, please try again later",), close=True)
BURST = 10
"""Commands of one client that are answered before others have their turn: whole segments of short commands would keep
them waiting for seconds."""
_CLOSING = 10.0
"""Seconds that a peer has to read the last reply."""
# What the timer waits for.
_COMMAND, _HANDSHAKE, _CLOSE = "a command", "the TLS handshake", "the connection to close"


@implementer(IPushProducer)
class Link(Protocol):
    """Feeds the SMTP core with bytes, gives its events one by one, and writes the replies.

    `connected` is called when the connection is there. The transport is paused while the session is busy with
    something else than waiting for an event. `ahead` tells that a balancer sent more than its PROXY header at once.
    """

    def __init__(
        self,
        connection: ServerConnection,
        timeouts: Timeouts,
        clock: IReactorTime,
        outbox: Outbox,
        connected: Callable[[Link], None],
    ) -> None:
        self._connection = connection
        self._connected = connected
        self._timeouts = timeouts
        self._clock = clock
        self._outbox = outbox
        self._ends_at = clock.seconds() + timeouts.session
        self._waiter: Deferred[None] | None = None
        self._tls: TlsEngine | None = None
        self._handshake: Deferred[None] | None = None
        self._timer = Deadline(clock, self._timed_out)
        self._patience = 0.0
        self._deadline = 0.0
        self._paused = False
        self._full = False
        self._in_turn = 0
        self._stopping = False
        self._ended: LinkEnded | None = None
        self.in_transaction = False
        self.keeps_place = False
        """Whether it is not ended to make room for another, however long it is silent: for authenticated users."""
        self._our_turn = False
        self.ahead = False

    # What the session uses

    def speaks_early(self) -> bool:
        """Whether the client has sent something by now, before the greeting."""
        if self.ahead or self._connection.buffered > 0:
            return True
        # Under TLS the kernel holds records, which need not be commands.
        return self._tls is None and _readable(self.tcp)

    async def speaks_within(self, limit: float) -> bool:
        """Wait until the client sends something that it should not send yet, `limit` seconds at most; tell whether
        it did. Raises LinkEnded."""
        self._patience = limit
        self._deadline = 0.0
        self._our_turn = True
        try:
            await self._wait()
        except _Silence:
            return False
        finally:
            self._our_turn = False
        if self._ended is not None:
            raise self._ended
        return True

    async def next_event(self, limit: float) -> Event:
        """Wait for the client's next event, `limit` seconds at most: who sends a command octet by octet does not
        get more time for it. Raises LinkEnded."""
        self._patience = limit
        self._deadline = 0.0
        while self._full or (event := self._connection.next_event()) is None:
            if self._ended is not None:
                raise self._ended
            if self._stopping and not self.in_transaction:
                raise LinkEnded("shutdown", _SHUTTING_DOWN)
            await self._wait()
        self._in_turn += 1
        if self._in_turn >= BURST:
            self._in_turn = 0
            await deferLater(self._clock, 0)
        return event

    def send(self, reply: Reply) -> None:
        """Answer the last event (or greet)."""
        data = self._connection.reply(reply)
        if self._ended is not None:
            return
        if self._tls is None:
            self._outbox.write(self.tcp, data)
        else:
            self._tls.send(data)
            self._write_tls(self._tls)

    async def start_tls(self, tls: TlsEngine) -> str:
        """Do the handshake; give protocol and cipher. Raises LinkEnded when it fails or takes too long."""
        if self._ended is not None:
            raise self._ended
        self._handshake = Deferred()
        self._tls = tls
        self._timer.set(self._timeouts.handshake, _HANDSHAKE)
        self._resume()
        try:
            await self._handshake
        finally:
            self._handshake = None
            self._timer.clear()
        self._connection.tls_started()
        return tls.version

    def close(self) -> None:
        """End the connection, once what was written is out."""
        if self._ended is None:
            self._ended = LinkEnded("closed")
            if self._tls is not None:
                self._tls.close()
                self._write_tls(self._tls)
            self._resume()
            self.tcp.unregisterProducer()  # a paused producer would keep the transport from closing
            self.tcp.loseConnection()
            # A peer that does not read keeps the connection half open; do not wait for it for ever.
            self._timer.set(_CLOSING, _CLOSE)

    # What the listener uses

    def stop(self) -> None:
        """Shut down: at once between transactions, else when the one under way has ended."""
        self._stopping = True
        if not self.in_transaction:
            self._wake(LinkEnded("shutdown", _SHUTTING_DOWN))

    def hurry(self, limit: float) -> None:
        """Under load: who is to say a command has `limit` seconds for it, from when its turn came. Content has a limit
        of its own, and keeps it."""
        if self.silent_since is not None and limit < self._patience:
            self._deadline += limit - self._patience
            self._patience = limit
            self._set_timer(self._clock.seconds())

    @property
    def silent_since(self) -> float | None:
        """When the client's turn to say a command came; None when it is not its turn, or it sends a message."""
        if self._waiter is None or self._our_turn or self._connection.receives_content:
            return None
        return self._deadline - self._patience

    def give_room(self) -> None:
        """End an idle session, so that another can have its place."""
        self._wake(LinkEnded("gave room", _GIVE_ROOM))

    def cut(self) -> None:
        """Shut down now, whatever is under way: with 421 where the session can say it (RFC 5321 3.8)."""
        if self._waiter is not None:
            self._wake(LinkEnded("shutdown", _SHUTTING_DOWN))
        else:
            self._abort()

    @property
    def tcp(self) -> Any:
        """The transport: one that is TCP, TLS and a producer at once, for which Twisted has no type."""
        return self.transport

    # Twisted's side

    def connectionMade(self) -> None:
        self.tcp.setTcpNoDelay(True)
        self.tcp.registerProducer(self, True)
        self._connected(self)

    def pauseProducing(self) -> None:
        """Our replies pile up: the client does not read them. It is not read either, until it does."""
        self._full = True

    def resumeProducing(self) -> None:
        """The client has taken our replies."""
        self._full = False
        self._wake()

    def stopProducing(self) -> None:
        """The connection is lost: `connectionLost` follows."""

    def dataReceived(self, data: bytes) -> None:
        if self._ended is not None:
            return
        if self._tls is None:
            self._received(data)
        else:
            self._decrypt(self._tls, data)

    def _received(self, data: bytes) -> None:
        self._connection.receive(data)
        if self._waiter is not None:
            self._wake()
        else:
            # The session is busy: the kernel's buffer holds the rest back from the client.
            self._pause()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._timer.stop()
        self._ended = LinkEnded("disconnected")
        self._fail_handshake(reason.getErrorMessage())
        self._wake()

    # TLS

    def _decrypt(self, tls: TlsEngine, data: bytes) -> None:
        """Take what the records say, once the session knows that the handshake is done."""
        data = tls.receive(data)
        self._write_tls(tls)
        if tls.established and self._handshake is not None and not self._handshake.called:
            self._handshake.callback(None)
        if data and self._ended is None:
            self._received(data)
        if tls.lost and self._ended is None:
            self._lose(tls.lost)

    def _write_tls(self, tls: TlsEngine) -> None:
        data = tls.output()
        if data:
            self._outbox.write(self.tcp, data)

    def _lose(self, reason: str) -> None:
        """TLS is over: so is the session."""
        self.close()
        self._ended = LinkEnded("disconnected")
        self._fail_handshake(reason)
        self._wake()

    def _fail_handshake(self, reason: str) -> None:
        if self._handshake is not None and not self._handshake.called:
            self._handshake.errback(LinkEnded(f"TLS handshake failed: {reason}"))

    # Waiting

    async def _wait(self) -> None:
        waiter: Deferred[None] = Deferred()
        self._waiter = waiter
        self._in_turn = 0
        now = self._clock.seconds()
        if not self._deadline:
            self._deadline = now + self._patience
        self._set_timer(now)
        if self._full:
            self._pause()
        else:
            self._resume()
        await waiter

    def _wake(self, ended: LinkEnded | None = None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        if ended is None:
            waiter.callback(None)
        else:
            waiter.errback(ended)

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.tcp.pauseProducing()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.tcp.resumeProducing()

    def _set_timer(self, now: float) -> None:
        self._timer.set(max(0.0, min(self._deadline, self._ends_at) - now), _COMMAND)

    def _timed_out(self, waited_for: str) -> None:
        if waited_for is _CLOSE:
            self._abort()
        elif self._handshake is not None:
            self._handshake.errback(LinkEnded("TLS handshake timed out"))
            self._abort()
        elif self._clock.seconds() >= self._ends_at:
            self._wake(LinkEnded("session too long", _SESSION_TOO_LONG))
        else:
            self._wake(_Silence("timeout", _TIMED_OUT))

    def _abort(self) -> None:
        self._ended = self._ended or LinkEnded("aborted")
        self._wake(self._ended)
        self.tcp.abortConnection()


def _readable(transport: Any) -> bool:
    """Whether the kernel holds bytes of a TCP connection that the reactor has not read yet."""
    handle = getattr(transport, "socket", None)
    if handle is None:
        return False
    try:
        return bool(handle.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:  # there are none, or the connection is gone
        return False
