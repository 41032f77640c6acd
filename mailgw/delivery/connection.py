"""A connection to a next hop: the Twisted protocol around smtp.client, with every wait bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailgw.config import schema
from mailgw.config.endpoints import is_socket
from mailgw.delivery.classify import Peer
from mailgw.delivery.tls.client import UnverifiedTls
from mailgw.mail.message import FileContent, Message
from mailgw.mail.reply import Reply
from mailgw.mail.tlsresult import FailureType
from mailgw.operation.deadline import Deadline
from mailgw.operation.outbox import Outbox
from mailgw.operation.threads import Threads
from mailgw.smtp.client import Capabilities, DotStuffer, MailTransaction, PeerError, ReplyReader, Step

QUIT_TIMEOUT = 10.0


class SessionLost(Exception):
    """The connection ended while a reply was awaited. The text says how."""


@implementer(IHandshakeListener, IPushProducer)
class SmtpConnection(Protocol):
    """One session. `opening.open_session` makes it ready, then `transact` runs one transaction after another.

    `on_lost` is called once, when the connection is gone.
    """

    log = Logger()
    transport: Any  # no one interface has what TCP and TLS transports both have

    def __init__(self, clock: IReactorTime, outbox: Outbox, settings: schema.Relay, peer: Peer) -> None:
        self.peer = peer
        self.port = 0
        """The peer's."""
        self.capabilities = Capabilities()
        self.tls = ""
        """Version and what the certificate proves, once TLS is up."""
        self.tls_failure: FailureType | None = None
        """What is wrong with its TLS or its certificate, whether it was lost for that or goes on all the same."""
        self.announced = ""
        """The name in its greeting."""
        self.local_address = ""
        """Our end of it."""
        self.shareable = True
        """Whether it may be used for other domains with the same hosts."""
        self.transactions = 0
        self.needs_reset = False
        self.lost = ""
        """Why no more can go over it; empty while it can."""
        self.ours = False
        """Whether it was lost through trouble on our side."""
        self.on_lost: Callable[[SmtpConnection], None] = lambda connection: None
        self._outbox = outbox
        self._settings = settings
        self._deadline = Deadline(clock, self._expired)
        self._reader = ReplyReader()
        self._waiter: Deferred[Reply] | None = None
        self._handshake: Deferred[None] | None = None
        self._securing: UnverifiedTls | None = None
        self._alone = False
        self._quitting = False
        self._transaction: MailTransaction | None = None
        self._finished: Deferred[str] | None = None
        self._message: Message | None = None
        self._threads: Threads | None = None
        self._paused: Deferred[None] | None = None

    # Commands one by one: what opens a session

    async def greeting(self) -> Reply:
        """Wait for the greeting. Raises SessionLost."""
        return await self._reply("the greeting", self._settings.greeting_timeout)

    async def command(self, line: bytes, name: str) -> Reply:
        """Write a whole command line and wait for its reply. Raises SessionLost."""
        self._write(line)
        return await self._reply(f"the reply to {name}", self._settings.command_timeout)

    async def start_tls(self, securing: UnverifiedTls) -> None:
        """Begin TLS now. Raises SessionLost, also where the peer is not who it is to be: see `tls_failure`."""
        if self.lost:
            raise SessionLost(self.lost)
        self._reader = ReplyReader()
        self.capabilities = Capabilities()  # RFC 3207 4.2: nothing from before counts
        self._handshake = Deferred(self._given_up)
        self._deadline.set(self._settings.connect_timeout, "the TLS handshake")
        self._outbox.flush()
        self._securing = securing
        self.transport.startTLS(securing)
        await self._handshake
        handle: SSL.Connection = self.transport.getHandle()
        confirmed = securing.confirm(handle)
        self.tls_failure = securing.failure
        if not confirmed:
            self.abort(f"{self.peer} has a certificate that {securing.reason}")
            raise SessionLost(self.lost)
        self.tls = f"{handle.get_protocol_version_name()}, {securing.proof}"
        self.shareable = self.shareable and securing.shareable

    async def start_tls_by_command(self) -> Reply:
        """STARTTLS. Bytes that come behind its reply before TLS are an attacker's: they end the session."""
        self._alone = True
        reply = await self.command(b"STARTTLS\r\n", "STARTTLS")
        self._alone = False
        return reply

    def _reply(self, what: str, timeout: float) -> Deferred[Reply]:
        waiter: Deferred[Reply] = Deferred(self._given_up)
        if self.lost:
            waiter.errback(SessionLost(self.lost))
            return waiter
        self._waiter = waiter
        self._deadline.set(timeout, what)
        return waiter

    # Transactions

    def transact(self, transaction: MailTransaction, message: Message, threads: Threads) -> Deferred[str]:
        """Run it. Fires with "" when it is done, or with the reason when the session broke before; never fails.
        To cancel it ends the connection.

        A content in a file is read in `threads`.
        """
        finished: Deferred[str] = Deferred(self._given_up)
        if self.lost:
            finished.callback(self.lost)
            return finished
        self._transaction, self._finished = transaction, finished
        self._message, self._threads = message, threads
        self._write(transaction.start())
        self._deadline.set(self._settings.command_timeout, "the reply to MAIL")
        return finished

    def _advance(self, transaction: MailTransaction, reply: Reply, last: bool) -> None:
        before = transaction.step
        data = transaction.receive(reply)
        step = transaction.step
        if data:
            self._write(data)
        if step is Step.DONE:
            if not last:
                # They would be taken for replies to the next commands.
                raise PeerError(f"sent more replies than there were commands, behind {reply}")
            self._finish("")
        elif step is Step.CONTENT:
            if last:
                self._send_content(transaction)
        elif step is not before or data:
            timeout = self._settings.data_timeout if step is Step.DATA else self._settings.command_timeout
            self._deadline.set(
                timeout, "the reply to the end of data" if step is Step.FINAL else f"the reply to {step.name}"
            )

    def _send_content(self, transaction: MailTransaction) -> None:
        assert self._message is not None
        if isinstance(self._message.content, FileContent):
            streaming = Deferred.fromCoroutine(self._stream(transaction, self._message))
            streaming.addErrback(self._stream_failed)
            return
        stuffer = DotStuffer()
        for piece in self._message.output():
            self._write(stuffer.feed(piece))
        self._write(stuffer.end())
        self._content_sent(transaction)

    def _content_sent(self, transaction: MailTransaction) -> None:
        transaction.content_sent()
        self._deadline.set(self._settings.final_timeout, "the reply to the end of data")

    async def _stream(self, transaction: MailTransaction, message: Message) -> None:
        """Send a content from a file: one piece is read while none waits to be sent, whatever the size."""
        assert self._threads is not None
        stuffer = DotStuffer()
        pieces = message.output()
        self.transport.registerProducer(self, True)
        try:
            while (piece := await self._threads.run(next, pieces, None)) is not None:
                if self.lost or transaction.step is not Step.CONTENT:
                    return
                self._deadline.set(self._settings.data_timeout, "the peer to take the content")
                self._write(stuffer.feed(piece))
                if self._paused:
                    await self._paused
        finally:
            self.transport.unregisterProducer()
        if not self.lost and transaction.step is Step.CONTENT:
            self._write(stuffer.end())
            self._content_sent(transaction)

    def _stream_failed(self, failure: Failure) -> None:
        self.ours = True
        if not isinstance(failure.value, OSError):
            self.log.failure("cannot send a content to {peer}", failure, event="relay_bug", peer=str(self.peer))
        self.abort(f"the content cannot be read: {failure.getErrorMessage()}")

    def pauseProducing(self) -> None:
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        paused, self._paused = self._paused, None
        if paused:
            paused.callback(None)

    def stopProducing(self) -> None:
        self.resumeProducing()

    def _finish(self, reason: str) -> None:
        transaction, finished = self._transaction, self._finished
        assert transaction is not None and finished is not None
        self._transaction = self._finished = self._message = None
        self.transactions += 1
        self.needs_reset = transaction.unfinished
        self._deadline.clear()
        if transaction.closing and not self.lost:
            if transaction.content_begun and not transaction.content_complete:
                self.abort(f"{self.peer} refused the content before its end")
            else:
                self._close(f"{self.peer} ended the session")
        finished.callback(reason)

    # The end

    def idle(self, seconds: float) -> None:
        """Keep it for that long; then QUIT."""
        self._deadline.set(seconds, "a message")

    def quit(self) -> None:
        """QUIT, and close when it is answered or takes too long. Harmless when it is lost already."""
        if self.lost:
            return
        self.lost = "we ended the session"
        self._quitting = True
        self._write(b"QUIT\r\n")
        self._deadline.set(QUIT_TIMEOUT, "the reply to QUIT")

    def abort(self, reason: str) -> None:
        """Give it up at once."""
        if not self.lost or self._quitting:
            self.lost = reason
            self._quitting = False
            self.transport.abortConnection()

    def _given_up(self, waiter: Deferred[Any]) -> None:
        """Who waits is cancelled (the queue stops): in the middle of something a session is of no more use."""
        self._waiter = self._handshake = None
        if self._finished is waiter:
            self._finished = Deferred()
        self.abort("the attempt was given up")

    def _close(self, reason: str) -> None:
        self.lost = reason
        self.transport.loseConnection()
        self._deadline.set(QUIT_TIMEOUT, "the connection to close")

    def _expired(self, waited_for: str) -> None:
        if waited_for == "a message":
            self.quit()
        elif self.lost:
            self.transport.abortConnection()
        else:
            self.abort(f"{self.peer} let us wait too long for {waited_for}")

    # Twisted's side

    def connectionMade(self) -> None:
        if not is_socket(self.peer.address):
            # Whole groups of commands and whole contents are written at once: waiting for more only delays them.
            self.transport.setTcpNoDelay(True)
        self.local_address = getattr(self.transport.getHost(), "host", "")

    def dataReceived(self, data: bytes) -> None:
        if self.lost:
            if self._quitting:
                self._quitting = False
                self.transport.loseConnection()
            return
        try:
            replies = self._reader.receive(data)
            if self._alone and (len(replies) > 1 or (replies and self._reader.buffered)):
                raise PeerError("sent bytes in clear text behind its reply to STARTTLS")
            last = len(replies) - 1
            for number, reply in enumerate(replies):
                self._take(reply, number == last and not self._reader.buffered)
        except PeerError as error:
            self.abort(f"{self.peer} {error}")

    def _take(self, reply: Reply, last: bool) -> None:
        if self._transaction is not None:
            self._advance(self._transaction, reply, last)
        elif self._waiter is not None:
            self._deadline.clear()
            waiter, self._waiter = self._waiter, None
            waiter.callback(reply)
        elif reply.code == 421:
            self._close(f"{self.peer} ended the session: {reply}")
        else:
            raise PeerError(f"sent a reply to no command: {reply}")

    def handshakeCompleted(self) -> None:
        handshake, self._handshake = self._handshake, None
        self._deadline.clear()
        if handshake:
            handshake.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._deadline.stop()
        self._quitting = False
        if self._securing and self._securing.strict and self._securing.failure:
            self.tls_failure = self._securing.failure
            self.lost = self.lost or f"{self.peer} has a certificate that {self._securing.reason}"
        elif isinstance(reason.value, SSL.Error):
            self.tls_failure = "validation-failure"
        self.lost = self.lost or f"{self.peer} {_describe(reason)}"
        self.resumeProducing()
        waiters = (self._waiter, self._handshake)
        self._waiter = self._handshake = None
        for waiter in waiters:
            if waiter is not None:
                waiter.errback(SessionLost(self.lost))
        if self._transaction is not None:
            self._finish(self.lost)
        self.on_lost(self)

    def _write(self, data: bytes) -> None:
        if not self.lost or self._quitting:
            self._outbox.write(self.transport, data)


def _describe(reason: Failure) -> str:
    """Say in words how a connection ended."""
    error = reason.value
    if isinstance(error, ConnectionDone):
        return "closed the connection"
    if isinstance(error, SSL.Error):
        texts = [str(part[-1]) for part in error.args[0]] if error.args and error.args[0] else []
        return f"failed in TLS: {', '.join(texts) or type(error).__name__}"
    return f"lost the connection: {error}"
