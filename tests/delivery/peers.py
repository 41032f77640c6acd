"""Scripted next hops, and a reactor that joins an agent to them in memory."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionRefusedError, NoRouteError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test import iosim

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import Message
from mailgw.queue.item import Delivery, Destination, QueuedMessage

HANG_UP = b"hang up"
SILENT = b"silent"
EHLO = b"250-mx.example ESMTP\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
PLAIN_EHLO = b"250 mx.example\r\n"


class ScriptedPeer(Factory):
    """An SMTP server that answers as its script says: step -> what is written, or HANG_UP, or SILENT.

    Steps are `greeting`, the verbs, `.` (end of data) and `content` (when 354 was said). A list is used up one
    by one, its last item stays. What a client did stands in `commands` (of each session) and `contents`.
    """

    def __init__(self, script: dict[str, Any] | None = None, tls: object = None) -> None:
        self.script: dict[str, Any] = {
            "greeting": b"220 mx.example ESMTP\r\n",
            "EHLO": EHLO,
            "HELO": b"250 mx.example\r\n",
            "DATA": b"354 go\r\n",
            ".": b"250 2.0.0 queued as 1\r\n",
            "QUIT": b"221 bye\r\n",
            "STARTTLS": b"220 go\r\n",
            "AUTH": b"235 2.7.0 welcome\r\n",
            **(script or {}),
        }
        self.tls = tls
        self.sessions: list[list[str]] = []
        self.contents: list[bytes] = []
        self.reads: list[bytes] = []
        self.open = 0

    def buildProtocol(self, addr: object) -> Protocol:
        self.last = _Session(self)
        return self.last

    def answer(self, step: str) -> bytes:
        answer = self.script.get(step, b"250 2.0.0 fine\r\n")
        if isinstance(answer, list):
            return bytes(answer.pop(0) if len(answer) > 1 else answer[0])
        return bytes(answer)


class _Session(Protocol):
    transport: Any

    def __init__(self, peer: ScriptedPeer) -> None:
        self.peer = peer
        self.commands: list[str] = []
        self.buffer = b""
        self.content: bytes | None = None

    def connectionMade(self) -> None:
        self.peer.sessions.append(self.commands)
        self.peer.open += 1
        self.say("greeting")

    def connectionLost(self, reason: Failure | None = None) -> None:  # type: ignore[override]
        self.peer.open -= 1

    def say(self, step: str) -> bytes:
        answer = self.peer.answer(step)
        if answer == HANG_UP:
            self.transport.loseConnection()
        elif answer != SILENT:
            self.transport.write(answer)
        return answer

    def dataReceived(self, data: bytes) -> None:
        self.peer.reads.append(data)
        self.buffer += data
        while self.buffer:
            if self.content is None:
                line, end, rest = self.buffer.partition(b"\r\n")
                if not end:
                    return
                self.buffer = rest
                self.command(line)
                continue
            whole = self.content + self.buffer
            end_of_data = (b"\r\n" + whole).find(b"\r\n.\r\n")
            self.buffer = b""
            if end_of_data < 0:
                self.content = whole
                return
            self.peer.contents.append(whole[:end_of_data])
            self.buffer, self.content = whole[end_of_data + 3 :], None
            self.say(".")

    def command(self, line: bytes) -> None:
        text = line.decode(errors="replace")  # a ClientHello that is not wanted may hold CRLF
        self.commands.append(text)
        verb = text.split(" ")[0].split(":")[0].upper()
        answer = self.say(verb)
        if verb == "DATA" and answer.startswith(b"354"):
            self.content = b""
            if "content" in self.peer.script:
                self.say("content")
        if verb == "QUIT":
            self.transport.loseConnection()
        if verb == "STARTTLS" and answer.startswith(b"220") and self.peer.tls:
            self.transport.startTLS(self.peer.tls)


class MemoryNetwork(Clock):
    """A reactor in which addresses are scripted peers: `network["192.0.2.1"] = ScriptedPeer()`.

    An address without one refuses connections; one in `silent` never answers; to one in `unreachable` no way leads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peers: dict[str, ScriptedPeer] = {}
        self.silent: set[str] = set()
        self.unreachable: set[str] = set()
        self.sources: dict[str, object] = {}
        self.connected: list[str] = []
        self.ports: dict[str, int] = defaultdict(int)
        self._pumps: list[iosim.IOPump] = []

    def __setitem__(self, address: str, peer: ScriptedPeer) -> None:
        self.peers[address] = peer

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: object = None) -> Any:
        self.connected.append(host)
        self.ports[host] = port
        self.sources[host] = bindAddress
        factory.doStart()
        connector = _Connector()
        if host in self.silent:
            self.callLater(timeout, factory.clientConnectionFailed, connector, Failure(TimeoutError("timed out")))
        elif host in self.unreachable:
            reason = NoRouteError(errno.ENETUNREACH, "Network is unreachable")
            factory.clientConnectionFailed(connector, Failure(reason))
        elif host not in self.peers:
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
        else:
            client = factory.buildProtocol(IPv4Address("TCP", host, port))
            server = self.peers[host].buildProtocol(None)
            ends = (server, iosim.FakeTransport(server, True), client, iosim.FakeTransport(client, False))
            self._pumps.append(iosim.connect(*ends, greet=False, clock=self))
        return connector

    def run(self) -> None:
        """Move bytes until nothing moves."""
        moved = True
        while moved:
            moved = sum(bool(pump.pump()) for pump in list(self._pumps)) > 0

    def pass_time(self, seconds: float) -> None:
        self.run()
        self.advance(seconds)
        self.run()


class _Connector:
    def stopConnecting(self) -> None:
        """Nothing to stop."""

    def disconnect(self) -> None:
        """Nothing to end."""

    def getDestination(self) -> object:
        return "somebody silent"


def queued(
    content: bytes = b"Subject: x\r\n\r\nHello\r\n", reverse_path: str | None = "bob@example.net", **envelope: Any
) -> QueuedMessage:
    sender = Mailbox.parse(reverse_path) if reverse_path else None
    return QueuedMessage("01ABC", Envelope(sender, **envelope), Message.from_bytes(content), 1000.0, "submission")


def deliveries(target: str, addresses: Sequence[str] = ("alice@example.org",), **recipient: Any) -> list[Delivery]:
    return [
        Delivery(
            "01ABC", number, Recipient(Mailbox.parse(address), **recipient), Destination("relay", target), 0.0, 1e6
        )
        for number, address in enumerate(addresses)
    ]
