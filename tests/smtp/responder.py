"""A trivial session: answers every event of the server core with what RFC 5321 expects on a good day."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mailgw.mail.reply import Reply
from mailgw.smtp import events, sasl
from mailgw.smtp.events import Event
from mailgw.smtp.extensions import Announced, Extensions, ServerLimits
from mailgw.smtp.server import ServerConnection

OK = Reply(250, "2.0.0", ("OK",))
LIMITS = ServerLimits(command_line=512, auth_line=1024, data_line=200, message_size=2000)


class Responder:
    """Drives a ServerConnection. `events` is what it handed out, `output` what was sent to the client.

    It refuses recipients whose local part is `unknown` and knows one user: `user` with the password `secret`.
    """

    def __init__(
        self,
        extensions: Extensions | None = None,
        *,
        tls: bool = False,
        lmtp: bool = False,
        normalise: bool = False,
        limits: ServerLimits = LIMITS,
    ) -> None:
        if extensions is None:
            extensions = Extensions(size=limits.message_size)
        self.connection = ServerConnection("mx.example", limits, extensions, tls=tls, lmtp=lmtp)
        self.connection.normalise = normalise
        self.events: list[Event] = []
        self.output = b""
        self.closed = False
        self.held = 0  # the most that the core held once it had nothing more to say
        self._exchange: sasl.Exchange = sasl.Plain()

    def receive(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.connection.receive(piece)
            while (event := self.connection.next_event()) is not None:
                self.events.append(event)
                if not isinstance(event, events.Content | events.Bdat):
                    self._send(self.answer(event))
            self.held = max(self.held, self.connection.buffered)

    def _send(self, reply: Reply) -> None:
        self.output += self.connection.reply(reply)
        self.closed = self.closed or reply.close

    def answer(self, event: Event) -> Reply:
        match event:
            case events.Hello():
                return self.connection.hello_reply(event)
            case events.Invalid():
                return event.reply
            case events.Rcpt() if event.forward_path.local_part == "unknown":
                return Reply(550, "5.1.1", ("No such user",))
            case events.Data():
                return Reply(354, "", ("Go ahead",))
            case events.ContentEnd() | events.ChunkEnd() if event.problem is not None:
                return event.problem
            case events.Quit():
                return Reply(221, "2.0.0", ("Bye",), close=True)
            case events.Vrfy():
                return Reply(252, "2.5.2", ("Cannot verify",))
            case events.Help():
                return Reply(214, "2.0.0", ("RFC 5321",))
            case events.Xclient():
                return Reply(220, "", ("mx.example ESMTP",))
            case events.StartTls():
                return Reply(220, "2.0.0", ("Go ahead",))
            case events.Auth():
                self._exchange = sasl.exchange(event.mechanism)
                return self._authenticate(self._exchange.step(event.initial))
            case events.AuthResponse():
                return sasl.CANCELLED if event.data is None else self._authenticate(self._exchange.step(event.data))
        return OK

    def _authenticate(self, step: sasl.Step) -> Reply:
        if isinstance(step, sasl.Challenge):
            return step.reply
        if isinstance(step, Reply):
            return step
        if step == sasl.Credentials("user", "secret"):
            return Reply(235, "2.7.0", ("Authenticated",))
        return Reply(535, "5.7.8", ("Credentials invalid",))

    @classmethod
    def offering(cls, words: Collection[str]) -> Responder:
        """Make one that offers what the words of a dialogue's `with:` say."""
        extensions = Extensions(
            size=LIMITS.message_size,
            starttls="starttls" in words,
            auth=("PLAIN", "LOGIN") if "auth" in words else (),
            chunking="chunking" in words,
            limits=Announced(10, 20, 5) if "limits" in words else None,
            dsn="dsn" in words,
            requiretls="requiretls" in words,
            xclient="xclient" in words,
        )
        return cls(extensions, tls="tls" in words, lmtp="lmtp" in words, normalise="normalise" in words)

    @property
    def merged(self) -> list[Event]:
        """The events, with adjacent pieces of content as one: what must not depend on how the bytes were cut."""
        result: list[Event] = []
        for event in self.events:
            if isinstance(event, events.Content) and result and isinstance(result[-1], events.Content):
                result[-1] = events.Content(result[-1].data + event.data)
            else:
                result.append(event)
        return result

    @property
    def content(self) -> bytes:
        """All content, of all messages."""
        return b"".join(event.data for event in self.events if isinstance(event, events.Content))
