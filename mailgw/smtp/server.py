"""The server side of SMTP as a state machine without I/O (RFC 5321): bytes in, events out; replies in, bytes out.

    connection.receive(data)
    while event := connection.next_event():
        if not a Content or Bdat: send(connection.reply(the reply to event))

All protocol state is here and in `verbs.State`, all of it is bounded, and no bytes of a client make it raise. The next
command is handed out only when the last one was answered, so replies to pipelined commands are in order by
construction (RFC 2920).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

from attrs import evolve

from mailgw.mail.reply import Refuse, Reply
from mailgw.smtp import events, refusals, syntax
from mailgw.smtp.buffer import ReceiveBuffer
from mailgw.smtp.chunks import ChunkReader, RefusedChunk
from mailgw.smtp.data import DataReader
from mailgw.smtp.events import Event
from mailgw.smtp.extensions import Extensions, ServerLimits
from mailgw.smtp.verbs import VERBS, State

__all__ = ["READ_AHEAD", "Extensions", "ServerConnection", "ServerLimits"]

READ_AHEAD = 256 * 1024
"""Octets that may wait for the answer of a command. More come only when the transport is not paused meanwhile."""

# What these become depends on the bytes behind them.
_WITH_BYTES_BEHIND = frozenset({events.StartTls, events.Bdat, RefusedChunk})


_BDAT = re.compile(rb"BDAT\b", re.IGNORECASE)


class _Phase(Enum):
    """What the next bytes are."""

    COMMAND = 1
    DATA = 2
    AUTH = 3
    """Answers to challenges (RFC 4954 4)."""
    TLS = 4
    """A TLS handshake, which the core does not see: any byte here was sent in clear, ahead of it."""
    CLOSED = 5
    """Nothing: all is dropped."""


# Looked at for every event: as module names they cost less than as attributes of an Enum.
_COMMAND, _IN_DATA, _AUTH, _TLS, _CLOSED = _Phase


class ServerConnection:
    """One connection. `hostname` is our name; `tls` tells that TLS is on from the first byte, `lmtp` that LMTP is
    spoken (RFC 2033). `normalise` may be set before a message comes: its bare CRs and LFs become CRLFs.

    After each `receive`, call `next_event` until it gives None. Each event but Content and Bdat wants one `reply`.
    """

    def __init__(
        self, hostname: str, limits: ServerLimits, extensions: Extensions, *, tls: bool = False, lmtp: bool = False
    ) -> None:
        self.normalise = False
        self._hostname = hostname
        self._limits = limits
        self._state = State(extensions, limits, lmtp, tls)
        self._phase = _COMMAND
        self._input = ReceiveBuffer()
        self._overflow = False
        self._pending: Event | None = None
        self._reader: DataReader | ChunkReader | RefusedChunk | None = None
        self._content_end: Event | None = None  # handed out behind the last piece of content

    # Bytes in, events out

    @property
    def buffered(self) -> int:
        """Octets held. Once `next_event` gives None and nothing is pending it is at most one line; while a command
        waits for its answer, at most READ_AHEAD, or the piece that it came in."""
        return len(self._input) + (self._reader.held if self._reader else 0)

    @property
    def receives_content(self) -> bool:
        """Whether the next bytes are of a message."""
        return self._phase is _IN_DATA

    def receive(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._phase is _CLOSED or self._overflow or not data:
            return
        self._input.append(data)
        if self._pending is not None and len(self._input) > READ_AHEAD:
            self._input.clear()
            self._overflow = True

    def next_event(self) -> Event | None:
        """Give the next event; None when more bytes are needed, or the last one is not answered yet."""
        phase = self._phase
        if self._pending is not None or phase is _CLOSED:
            return None
        event: Event | None
        if self._overflow:
            event = refusals.TOO_MUCH_AHEAD
        elif phase is _IN_DATA:
            event = self._next_content()
            if type(event) is events.Content:
                return event
        elif phase is _TLS:
            event = refusals.SENT_AHEAD_OF_TLS if self._input else None
        else:
            line = self._next_line()
            if type(line) in _WITH_BYTES_BEHIND:
                return self._with_bytes_behind(line)
            event = line  # type: ignore[assignment]  # a RefusedChunk is one of those
        self._pending = event
        return event

    def _next_content(self) -> Event | None:
        end, self._content_end = self._content_end, None
        reader = self._reader
        if end is None and reader is not None:
            content, rest = reader.receive(self._input.take(reader.wanted))
            if rest is not None:
                if rest:
                    self._input.put_back(rest)
                end = reader.end()
            if content:
                self._content_end = end
                return events.Content(content)
            if end is None:
                return None
        self._reader = None
        self._phase = _COMMAND
        return end

    def _next_line(self) -> Event | RefusedChunk | None:
        in_auth = self._phase is _AUTH
        limits = self._limits
        line = self._input.next_line(limits.auth_line if in_auth else limits.command_line, limits.auth_line)
        if line is None:
            return None
        if in_auth:
            self._phase = _COMMAND
        if line[-2:] != b"\r\n":
            if not line:
                return refusals.AUTH_LINE_TOO_LONG if in_auth else refusals.LINE_TOO_LONG
            event: Event | RefusedChunk = refusals.BARE_LF
        else:
            event = syntax.auth_response(line[:-2]) if in_auth else self._command(line[:-2])
        if type(event) is events.Invalid and not in_auth and _BDAT.match(line):
            return refusals.BDAT_SYNTAX  # nobody knows how many octets behind it are no commands (see syntax.bdat)
        return event

    def _command(self, line: bytes) -> Event | RefusedChunk:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return refusals.NUL if b"\0" in line else refusals.NOT_UTF8
        # RFC 5321 4.1.1: white space before the CRLF is tolerated.
        text = text.rstrip(" \t")
        if not text.isprintable() and (refusal := refusals.control_character(text)):
            return refusal
        verb, _, argument = text.partition(" ")
        handler = VERBS.get(verb.upper())
        # Letters outside ASCII may have an upper case within: `R\u017fET` is no RSET.
        if handler is None or not verb.isascii():
            return refusals.UNKNOWN_COMMAND if text else refusals.EMPTY_LINE
        try:
            return handler(self._state, argument.lstrip(" "))
        except Refuse as refuse:
            return events.Invalid(refuse.reply, "argument")

    def _with_bytes_behind(self, event: Event | RefusedChunk | None) -> Event | None:
        if isinstance(event, events.StartTls):
            # CVE-2011-0411: commands sent in clear must not count as sent under TLS.
            self._pending = refusals.SENT_AHEAD_OF_TLS if self._input else event
            return self._pending
        self._phase = _IN_DATA
        if isinstance(event, RefusedChunk):
            self._reader = event
            return self.next_event()
        assert isinstance(event, events.Bdat)
        limits, state = self._limits, self._state
        if state.chunks is None:
            state.chunks = ChunkReader(limits.message_size, limits.data_line, normalise=self.normalise)
        state.chunks.begin(event.size, event.last)
        self._reader = state.chunks
        return event

    # Replies in, bytes out

    def reply(self, reply: Reply) -> bytes:
        """Answer the pending event, which moves the state; give the bytes to send.

        Without a pending event (the greeting, a timeout) the reply is only encoded, and closes if it says so. In LMTP
        the reply to a message is given for each of its recipients.
        """
        event, self._pending = self._pending, None
        copies = 1
        if self._state.lmtp and type(event) is events.ContentEnd and reply.code != 421:
            copies = self._state.recipients  # RFC 2033 4.2: in the order of RCPT
        answered = _ANSWERED.get(type(event))
        if answered is not None:
            answered(self, event, reply.code)
        if reply.close or reply.code == 421:  # RFC 5321 3.8: 421 announces the end
            self._close()
        # RFC 2034 4: no status code in the greeting and in replies to EHLO and HELO.
        if reply.status and (not self._state.extensions.enhancedstatuscodes or type(event) is events.Hello):
            reply = evolve(reply, status="")
        if reply.code == 334 and not reply.text:
            return b"334 \r\n"  # RFC 4954 4: the space stands before an empty challenge too
        if copies > 1 and len(reply.each) == copies:
            return b"".join([each.encode() for each in reply.each])
        return reply.encode() * copies

    def _answered_hello(self, event: events.Hello, code: int) -> None:
        if code == 250:  # otherwise the state stays what it was (RFC 5321 4.1.4)
            self._state.greeted = True
            self._state.esmtp = event.esmtp
            self._state.reset()

    def _answered_mail(self, event: events.Mail, code: int) -> None:
        if code == 250:
            self._state.in_transaction = True
            self._state.smtputf8 = event.smtputf8

    def _answered_rcpt(self, event: events.Rcpt, code: int) -> None:
        if 200 <= code < 300:  # 250 or 251 (RFC 5321 4.3.2)
            self._state.recipients += 1
        else:
            self._state.refused_recipients = True

    def _answered_data(self, event: events.Data, code: int) -> None:
        if code == 354:
            self._phase = _IN_DATA
            limits = self._limits
            self._reader = DataReader(limits.message_size, limits.data_line, normalise=self.normalise)

    def _answered_chunk(self, event: events.ChunkEnd, code: int) -> None:
        if code != 250:  # chunks that are under way already are refused one by one (RFC 3030 2)
            self._state.reset()

    def _answered_content(self, event: events.ContentEnd, code: int) -> None:
        self._state.reset()
        if event.problem is not None and event.problem.close:
            self._close()  # nothing of a client that sends bare CR or LF can be trusted to be a command

    def _answered_rset(self, event: events.Rset, code: int) -> None:
        if code == 250:
            self._state.reset()

    def _answered_quit(self, event: events.Quit, code: int) -> None:
        self._close()

    def _answered_starttls(self, event: events.StartTls, code: int) -> None:
        if code == 220:
            self._phase = _TLS

    def _answered_auth(self, event: events.Auth | events.AuthResponse, code: int) -> None:
        if code == 334:
            self._phase = _AUTH
        elif code == 235:
            self._state.authenticated = True

    def _answered_xclient(self, event: events.Xclient, code: int) -> None:
        if code == 220:
            self._state.forget()

    def _close(self) -> None:
        self._phase = _CLOSED
        self._reader = None
        self._content_end = None
        self._input.clear()

    def hello_reply(self, event: events.Hello) -> Reply:
        """The positive reply to EHLO, with the extensions that hold now, or to HELO."""
        if not event.esmtp:
            return Reply(250, "", (self._hostname,))
        keywords = self._state.extensions.keywords(tls=self._state.tls, authenticated=self._state.authenticated)
        return Reply(250, "", (self._hostname, *keywords))

    def tls_started(self) -> None:
        """The TLS handshake is done: forget EHLO, AUTH and the transaction (RFC 3207 4.2).

        Call it before the first decrypted bytes are received. Bytes that came in clear are not run: they become an
        Invalid that closes.
        """
        if self._phase is _CLOSED:
            return
        self._state.tls = True
        self._phase = _TLS if self.buffered else _COMMAND
        self._pending = None
        self._state.forget()


_ANSWERED: dict[type, Callable[[ServerConnection, Any, int], None]] = {
    events.Hello: ServerConnection._answered_hello,
    events.Mail: ServerConnection._answered_mail,
    events.Rcpt: ServerConnection._answered_rcpt,
    events.Data: ServerConnection._answered_data,
    events.ChunkEnd: ServerConnection._answered_chunk,
    events.ContentEnd: ServerConnection._answered_content,
    events.Rset: ServerConnection._answered_rset,
    events.Quit: ServerConnection._answered_quit,
    events.StartTls: ServerConnection._answered_starttls,
    events.Auth: ServerConnection._answered_auth,
    events.AuthResponse: ServerConnection._answered_auth,
    events.Xclient: ServerConnection._answered_xclient,
}
