"""The session: one coroutine a connection that reads as RFC 5321 does. It awaits an event, decides, replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from mailgw.config.schema import Limits, Timeouts
from mailgw.mail.reply import Refuse, Reply, StorageFull, TemporaryFailure
from mailgw.mail.transaction import Client, Signal
from mailgw.operation.tlsengine import TlsEngine
from mailgw.reception.authentication import authenticate
from mailgw.reception.credentials import Authenticator
from mailgw.reception.guard import Guard
from mailgw.reception.intake import Intake
from mailgw.reception.limits import ErrorCount
from mailgw.reception.link import Link, LinkEnded
from mailgw.reception.networks import NO_NETWORKS, Networks
from mailgw.reception.signals import EARLY_TALKER, sent_ahead
from mailgw.reception.xclient import proxied
from mailgw.smtp import events
from mailgw.smtp.events import Event
from mailgw.smtp.server import ServerConnection

_OK = Reply(250, "2.0.0", ("OK",))
_BYE = Reply(221, "2.0.0", ("Bye",), close=True)
_VRFY = Reply(252, "2.5.2", ("Cannot verify, but will take a message and try to deliver it",))
_HELP = Reply(
    214, "2.0.0", ("EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS AUTH; see RFC 5321",)
)
_GO_AHEAD = Reply(220, "2.0.0", ("Ready to start TLS",))
_MUST_STARTTLS = Reply(530, "5.7.0", ("Must issue a STARTTLS command first",))
_MUST_AUTH = Reply(530, "5.7.0", ("Authentication required",))
LOCAL_ERROR = Reply(451, "4.3.0", ("Local error, please try again later",))
_STORAGE_FULL = Reply(452, "4.3.1", ("Insufficient system storage, please try again later",))


@frozen
class SessionSettings:
    """What all sessions of a listener share."""

    hostname: str
    limits: Limits
    timeouts: Timeouts
    make_tls: Callable[[], TlsEngine] | None
    """Makes the TLS of a connection."""
    implicit_tls: bool
    authenticator: Authenticator
    guard: Guard
    greeting_delay: float = 0.0
    pipelining: bool = True
    normalised: Networks = NO_NETWORKS
    """Whose bare CR and LF become CRLF."""


class Session:
    """One session. `run` ends when the connection does, and raises nothing: it is the boundary where our own
    errors become 451 and a log line (design 3)."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        link: Link,
        connection: ServerConnection,
        client: Client,
        settings: SessionSettings,
        intake: Intake,
        clock: IReactorTime,
    ) -> None:
        self._link = link
        self._connection = connection
        self.client = client
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._count = ErrorCount(settings.limits)

    async def run(self) -> None:
        """Talk until QUIT, an error that closes, or the end of the connection."""
        reason = "quit"
        try:
            if self._settings.implicit_tls:
                await self._implicit_tls()
            await self._greet()
            while True:
                reply = await self._respond(await self._link.next_event(self._patience))
                if reply is not None and reply.close:
                    reason = str(reply)
                    break
        except LinkEnded as ended:
            reason = ended.reason
            if ended.reply is not None:
                self._link.send(ended.reply)
        except Exception:
            reason = "error"
            self.log.failure("session {session} failed", event="session_failed", session=self.client.session_id)
            self._link.send(evolve(LOCAL_ERROR, code=421, close=True))
        finally:
            self._intake.reset()
            self._link.close()
            self.log.debug("session {session} ended: {reason}", event="session_ended", reason=reason, **self._ids())

    async def _greet(self) -> None:
        """Send the greeting, to hosts that we do not know after a while in which a client has to be silent."""
        early = self._link.speaks_early()
        delay = self._settings.greeting_delay
        if delay and not early and not self._settings.guard.knows(self.client):
            early = await self._link.speaks_within(delay)
        if early:
            self._note(EARLY_TALKER)
        self._link.send(self._greeting)

    @property
    def _greeting(self) -> Reply:
        protocol = "LMTP" if self.client.service == "lmtp" else "ESMTP"
        return Reply(220, "", (f"{self._settings.hostname} {protocol} mailgw",))

    def _note(self, signal: Signal) -> None:
        """Keep what the client did, once."""
        if all(known.kind != signal.kind for known in self.client.signals):
            self._update(evolve(self.client, signals=(*self.client.signals, signal)))
            self.log.info("{address} {detail}", event=signal.kind, detail=signal.detail, **self._ids())

    async def _respond(self, event: Event) -> Reply | None:
        """Answer one event; every failure becomes a reply here."""
        if self._connection.buffered:
            signal = sent_ahead(event, self.client, offered=self._settings.pipelining)
            if signal is not None:
                self._note(signal)
        try:
            reply = await _HANDLERS[type(event)](self, event)
        except Refuse as refuse:
            reply = refuse.reply
        except TemporaryFailure as failure:
            self.log.warn(
                "temporary failure in {session}: {cause}", event="temporary_failure", cause=failure.cause, **self._ids()
            )
            reply = _STORAGE_FULL if isinstance(failure, StorageFull) else LOCAL_ERROR
        except LinkEnded:
            raise
        except Exception:
            self.log.failure("error in session {session}", event="error", session=self.client.session_id)
            reply = LOCAL_ERROR
        if reply is None:
            return None
        farewell = None
        if type(event) in _IDLE:
            self._count.idle_commands += 1
            farewell = None if reply.close else self._farewell()
        elif reply.code >= 500 and not reply.close:
            farewell = await self._penalty()
        self._link.send(reply)
        if farewell is not None:
            # Behind the reply, not in its place: 421 would say that the same mail, or password, may be right later.
            self._link.send(farewell)
        return farewell or reply

    async def _penalty(self) -> Reply | None:
        """Slow down a client that errs; give the last reply to one that errs too much (features 4.3)."""
        self._count.errors += 1
        farewell = self._farewell()
        if farewell is None and self._count.delay:
            await deferLater(self._clock, self._count.delay)
        return farewell

    def _farewell(self) -> Reply | None:
        """The last reply, once the session's patience is exhausted."""
        exhausted = self._count.exhausted
        if not exhausted:
            return None
        self._settings.guard.outcome(self.client, False)
        self.log.info(
            "{exhausted} in {session} from {address}", event="session_exhausted", exhausted=exhausted, **self._ids()
        )
        return Reply(421, "4.7.0", (f"{exhausted.capitalize()}, closing the connection",), close=True)

    @property
    def _patience(self) -> float:
        """Seconds that the client has for its next command."""
        timeouts = self._settings.timeouts
        return timeouts.command_under_load if self._settings.guard.under_load else timeouts.command

    def _ids(self) -> dict[str, str]:
        return _ids(self.client)

    # Verbs, in the order of RFC 5321 4.1.1

    async def hello(self, event: events.Hello) -> Reply:
        self._intake.reset()  # RFC 5321 4.1.4: EHLO ends a transaction as RSET does
        self._update(evolve(self.client, helo=event.domain, esmtp=event.esmtp))
        return self._connection.hello_reply(event)

    async def mail(self, event: events.Mail) -> Reply:
        if self.client.service == "submission":
            if not self.client.tls:
                return _MUST_STARTTLS  # RFC 3207 4
            if not self.client.identity:
                return _MUST_AUTH  # RFC 4954 6, RFC 6409 4.3
        self._count.transactions += 1
        if self._count.transactions > self._settings.limits.transactions:
            return Reply(421, "4.7.0", ("Too many messages in one session, please connect again",), close=True)
        self._connection.normalise = self.client.address in self._settings.normalised
        refusal = self._settings.guard.message(self.client, event.reverse_path)
        return refusal or self._intake.mail(event)

    async def rcpt(self, event: events.Rcpt) -> Reply:
        reply = await self._intake.rcpt(event)
        if reply.status == "5.1.1":
            self._count.unknown_recipients += 1
        return reply

    async def data(self, event: events.Data) -> Reply:
        self._count.idle_commands = 0
        return await self._intake.data(self._link)

    async def bdat(self, event: events.Bdat) -> Reply:
        self._count.idle_commands = 0
        return await self._intake.bdat()

    async def rset(self, event: events.Rset) -> Reply:
        self._intake.reset()
        return _OK

    async def vrfy(self, event: events.Vrfy) -> Reply:
        return _VRFY  # RFC 5321 7.3: 252 where a site does not want to tell

    async def help(self, event: events.Help) -> Reply:
        return _HELP

    async def noop(self, event: events.Noop) -> Reply:
        return _OK

    async def quit(self, event: events.Quit) -> Reply:
        return _BYE

    async def xclient(self, event: events.Xclient) -> Reply:
        client = proxied(self.client, event)
        if client.address != self.client.address:
            refusal = self._settings.guard.move(self.client, client)
            if refusal is not None:
                return refusal
            self._count = ErrorCount(self._settings.limits)
        self.log.info(
            "{proxy} speaks for {address} in {session}", event="xclient", proxy=self.client.address, **_ids(client)
        )
        self._intake.reset()
        self._update(client)
        return self._greeting

    async def invalid(self, event: events.Invalid) -> Reply:
        self.log.debug(
            "invalid command in {session}: {reason}", event="invalid_command", reason=event.reason, **self._ids()
        )
        return event.reply

    async def starttls(self, event: events.StartTls) -> Reply | None:
        refusal = self._settings.guard.handshake(self.client)
        if refusal is not None:
            return refusal
        self._link.send(_GO_AHEAD)
        await self._start_tls()
        return None

    async def auth(self, event: events.Auth) -> Reply:
        guard = self._settings.guard
        refusal = guard.login(self.client)
        if refusal is not None:
            return refusal
        identity = await authenticate(event, self._link, self._settings.authenticator, self._patience)
        if isinstance(identity, Reply):
            if identity.code == 535:
                self._count.auth_failures += 1
                guard.login_failed(self.client)
                self.log.info("authentication failed from {address}", event="auth_failed", **self._ids())
            return identity
        self._update(evolve(self.client, identity=identity))
        self._link.keeps_place = True
        self.log.info("authenticated {identity}", event="authenticated", identity=identity, **self._ids())
        return Reply(235, "2.7.0", ("Authentication succeeded",))

    # TLS

    async def _implicit_tls(self) -> None:
        # Before TLS there is no way to say why: the connection is closed.
        if self._settings.guard.handshake(self.client) is not None:
            raise LinkEnded("too many TLS handshakes")
        await self._start_tls()

    async def _start_tls(self) -> None:
        assert self._settings.make_tls is not None  # the configuration's checks see to it
        tls = await self._link.start_tls(self._settings.make_tls())
        self._intake.reset()
        # RFC 3207 4.2: what the client said before the handshake is forgotten.
        self._update(evolve(self.client, tls=tls, helo="", esmtp=False, identity=""))

    def _update(self, client: Client) -> None:
        self.client = client
        self._intake.client = client


def _ids(client: Client) -> dict[str, str]:
    return {"session": client.session_id, "address": client.address, "service": client.service}


# What moves no mail.
_IDLE = frozenset({events.Hello, events.Rset, events.Noop, events.Vrfy, events.Help})

_HANDLERS: dict[type[Event], Callable[..., Awaitable[Reply | None]]] = {
    events.Mail: Session.mail,
    events.Rcpt: Session.rcpt,
    events.Data: Session.data,
    events.Bdat: Session.bdat,
    events.Hello: Session.hello,
    events.Quit: Session.quit,
    events.Rset: Session.rset,
    events.Noop: Session.noop,
    events.Vrfy: Session.vrfy,
    events.Help: Session.help,
    events.StartTls: Session.starttls,
    events.Auth: Session.auth,
    events.Xclient: Session.xclient,
    events.Invalid: Session.invalid,
}
