"""A next hop that takes every message and keeps it, and that can be told to be rude."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from attrs import Factory as Default
from attrs import evolve, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.mail.address import Mailbox
from mailgw.mail.identifiers import new_id
from mailgw.mail.reply import Reply
from mailgw.operation.threads import Threads, ThreadsInline
from mailgw.smtp import events
from mailgw.smtp.server import Extensions, ServerConnection, ServerLimits

Stage = Literal["connect", "hello", "mail", "rcpt", "data", "content", "end"]
"""Where a session stands: at the greeting, a command, within the message (`content`), at its final dot (`end`)."""

_MESSAGE_SIZE = 100 * 1024 * 1024
_STAGES: dict[type[events.Event], Stage] = {
    events.Hello: "hello",
    events.Mail: "mail",
    events.Rcpt: "rcpt",
    events.Data: "data",
    events.Content: "content",
    events.ContentEnd: "end",
}
_EXTENSIONS = Extensions(size=_MESSAGE_SIZE, pipelining=True, eightbitmime=True, smtputf8=True)
_OK = Reply(250, "2.0.0", ("OK",))


@frozen
class Manners:
    """How the sink behaves. By default it is polite."""

    replies: Mapping[Stage, Reply] = Default(dict)
    """What it answers at a stage instead of success. At `content` it answers nothing."""
    recipients: Mapping[str, Reply] = Default(dict)
    """What it answers to RCPT for some addresses."""
    hang_up: Stage | None = None
    """Where it closes the connection without an answer."""
    delay: float = 0.0
    """Seconds before each reply."""
    extensions: Extensions = _EXTENSIONS


@frozen
class Received:
    """A message that the sink took. `content` is as it came, dot-unstuffed."""

    reverse_path: Mailbox | None
    recipients: tuple[Mailbox, ...]
    content: bytes

    def encode(self) -> bytes:
        """Give the message with its envelope in front, as two fields."""
        recipients = ",\r\n\t".join(f"<{recipient}>" for recipient in self.recipients)
        envelope = f"X-Envelope-From: <{self.reverse_path or ''}>\r\nX-Envelope-To: {recipients}\r\n"
        return envelope.encode() + self.content


class Sink:
    """Listens, and writes each message as ID.eml into `folder`; without a folder it holds them in `received`.

    `manners` may be replaced while it runs. `tls` makes it offer STARTTLS.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path | None = None,
        *,
        manners: Manners | None = None,
        threads: Threads | None = None,
        tls: CertificateOptions | None = None,
        hostname: str = "sink.test",
    ) -> None:
        self.reactor = reactor
        self.folder = folder
        self.manners = manners or Manners()
        self.threads: Threads = threads or ThreadsInline()
        self.tls = tls
        self.hostname = hostname
        self.received: list[Received] = []
        self.connections: set[SinkSession] = set()
        self.connection_count = 0
        self._port: IListeningPort | None = None

    def start(self, address: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; give the port. Raises CannotListenError."""
        factory = Factory.forProtocol(lambda: SinkSession(self))
        listening: Any = self.reactor.listenTCP(port, factory, backlog=511, interface=address)
        self._port = listening
        return int(listening.getHost().port)

    async def stop(self) -> None:
        """Stop listening and cut off who is there."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        for session in tuple(self.connections):
            await session.abort()

    async def take(self, message: Received) -> None:
        """Keep a message; when this returns, it is on the disk."""
        if self.folder is None:
            self.received.append(message)
            return
        name = new_id(self.reactor.seconds(), os.urandom(5)) + ".eml"
        await self.threads.run(_write, self.folder, name, message.encode())


class SinkSession(Protocol):
    """One connection to the sink."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        extensions = evolve(sink.manners.extensions, starttls=sink.tls is not None)
        self._core = ServerConnection(sink.hostname, ServerLimits(message_size=_MESSAGE_SIZE), extensions)
        self._reverse_path: Mailbox | None = None
        self._recipients: list[Mailbox] = []
        self._content: list[bytes] = []
        self._busy = True
        self._paused = False
        self._open = True
        self._lost: Deferred[None] = Deferred()
        self._tcp: Any = None

    async def abort(self) -> None:
        self._tcp.abortConnection()
        await self._lost

    # Twisted's side

    def connectionMade(self) -> None:
        self._tcp = self.transport
        self._sink.connections.add(self)
        self._sink.connection_count += 1
        Deferred.fromCoroutine(self._greet()).addErrback(self._failed)

    def dataReceived(self, data: bytes) -> None:
        self._core.receive(data)
        if self._busy:
            self._paused = True
            self._tcp.pauseProducing()
        else:
            Deferred.fromCoroutine(self._turn()).addErrback(self._failed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._open = False
        self._sink.connections.discard(self)
        self._lost.callback(None)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("sink failed", failure, event="sink_failed")
        self._tcp.abortConnection()

    # The session

    async def _greet(self) -> None:
        await self._answer("connect", Reply(220, "", (f"{self._sink.hostname} ESMTP sink",)))
        await self._turn()

    async def _turn(self) -> None:
        """Handle what has come."""
        self._busy = True
        while self._open and (event := self._core.next_event()) is not None:
            await self._handle(event)
        self._busy = False
        if self._paused and self._open:
            self._paused = False
            self._tcp.resumeProducing()

    async def _handle(self, event: events.Event) -> None:
        stage = _STAGES.get(type(event))
        match event:
            case events.Hello():
                await self._answer(stage, self._core.hello_reply(event))
            case events.Mail():
                self._reset()
                self._reverse_path = event.reverse_path
                await self._answer(stage, Reply(250, "2.1.0", ("Sender OK",)))
            case events.Rcpt():
                await self._recipient(event.forward_path)
            case events.Data():
                await self._answer(stage, Reply(354, "", ("Go on",)))
            case events.Content():
                self._content.append(event.data)
                if self._sink.manners.hang_up == "content":
                    self._hang_up()
            case events.ContentEnd():
                await self._end(event)
            case events.Invalid():
                await self._answer(stage, event.reply)
            case events.StartTls():
                await self._answer(stage, Reply(220, "2.0.0", ("Go on",)))
                self._tcp.startTLS(self._sink.tls)
                self._core.tls_started()
            case events.Quit():
                await self._answer(stage, Reply(221, "2.0.0", ("Bye",), close=True))
            case events.Rset():
                self._reset()
                await self._answer(stage, _OK)
            case events.Auth() | events.AuthResponse():
                await self._answer(stage, Reply(535, "5.7.8", ("Nobody is known here",)))
            case _:
                await self._answer(stage, _OK)

    async def _recipient(self, mailbox: Mailbox) -> None:
        reply = self._sink.manners.recipients.get(str(mailbox)) or Reply(250, "2.1.5", ("Recipient OK",))
        if await self._answer("rcpt", reply) == 250:
            self._recipients.append(mailbox)

    async def _end(self, event: events.ContentEnd) -> None:
        manners = self._sink.manners
        if event.problem is None and manners.hang_up != "end" and "end" not in manners.replies:
            await self._sink.take(Received(self._reverse_path, tuple(self._recipients), b"".join(self._content)))
        self._reset()
        await self._answer("end", event.problem or _OK)

    def _hang_up(self) -> None:
        self._open = False
        self._tcp.abortConnection()

    def _reset(self) -> None:
        self._reverse_path = None
        self._recipients = []
        self._content = []

    async def _answer(self, stage: Stage | None, reply: Reply) -> int:
        """Answer, or be rude; give the code that was sent."""
        manners = self._sink.manners
        if manners.delay:
            await deferLater(self._sink.reactor, manners.delay)
        if stage is not None:
            reply = manners.replies.get(stage, reply)
            if manners.hang_up == stage:
                self._hang_up()
                return 0
        if self._open:
            self._tcp.write(self._core.reply(reply))
            if reply.close or (stage == "connect" and reply.code >= 400):
                self._open = False
                self._tcp.loseConnection()
        return reply.code


def _write(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.partial"
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(folder / name)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)  # the name is durable only with its folder
    finally:
        os.close(handle)
