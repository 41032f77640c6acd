"""The server side of SMTP as a state machine without I/O (RFC 5321): bytes in, events out; replies in, bytes out.

    connection.receive(data)
    while event := connection.next_event():
        if not a Content: send(connection.reply(the reply to event))

All protocol state is here, all of it is bounded, and no bytes of a client make it raise. The next command is handed
out only when the last one was answered, so replies to pipelined commands are in order by construction (RFC 2920).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

from attrs import evolve

from mailgw.mail.reply import Refuse, Reply
from mailgw.smtp import events, refusals, syntax, xclient
from mailgw.smtp.buffer import ReceiveBuffer
from mailgw.smtp.data import DataReader
from mailgw.smtp.events import Event
from mailgw.smtp.extensions import Extensions, ServerLimits

__all__ = ["READ_AHEAD", "Extensions", "ServerConnection", "ServerLimits"]

READ_AHEAD = 256 * 1024
"""Octets that may wait for the answer of a command. More come only when the transport is not paused meanwhile."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

_DATA = events.Data()
_RSET = events.Rset()
_NOOP = events.Noop()
_QUIT = events.Quit()
_STARTTLS = events.StartTls()


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
    """One connection. `hostname` is our name; `tls` tells that TLS is on from the first byte.

    After each `receive`, call `next_event` until it gives None. Each event but Content wants one `reply`.
    """

    def __init__(self, hostname: str, limits: ServerLimits, extensions: Extensions, *, tls: bool = False) -> None:
        self._hostname = hostname
        self._limits = limits
        self._extensions = extensions
        self._tls = tls
        self._phase = _COMMAND
        self._input = ReceiveBuffer()
        self._overflow = False
        self._pending: Event | None = None
        self._reader: DataReader | None = None
        self._content_end: events.ContentEnd | None = None
        self._forget()

    def _forget(self) -> None:
        """The state before EHLO (RFC 3207 4.2)."""
        self._greeted = False
        self._esmtp = False
        self._authenticated = False
        self._reset()

    def _reset(self) -> None:
        """End the transaction (RFC 5321 4.1.1.5)."""
        self._in_transaction = False
        self._smtputf8 = False
        self._recipients = 0
        self._refused_recipients = False

    # Bytes in, events out

    @property
    def buffered(self) -> int:
        """Octets held. Once `next_event` gives None and nothing is pending it is at most one line; while a command
        waits for its answer, at most READ_AHEAD, or the piece that it came in."""
        return len(self._input) + (self._reader.held if self._reader else 0)

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
            event = self._next_line()
        self._pending = event
        return event

    def _next_content(self) -> Event | None:
        end, self._content_end = self._content_end, None
        reader = self._reader
        if end is not None or reader is None:
            return end
        content, rest = reader.receive(self._input.take())
        if rest is not None:
            self._input.put_back(rest)
            self._reader = None
            end = events.ContentEnd(reader.size, reader.problem)
            if content:
                self._content_end = end
        return events.Content(content) if content else end

    def _next_line(self) -> Event | None:
        in_auth = self._phase is _AUTH
        limits = self._limits
        line = self._input.next_line(limits.auth_line if in_auth else limits.command_line, limits.auth_line)
        if line is None:
            return None
        if in_auth:
            self._phase = _COMMAND
        if line[-2:] != b"\r\n":
            if line:
                return refusals.BARE_LF
            return refusals.AUTH_LINE_TOO_LONG if in_auth else refusals.LINE_TOO_LONG
        return syntax.auth_response(line[:-2]) if in_auth else self._command(line[:-2])

    def _command(self, line: bytes) -> Event:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return refusals.NUL if b"\0" in line else refusals.NOT_UTF8
        # RFC 5321 4.1.1: white space before the CRLF is tolerated.
        text = text.rstrip(" \t")
        if not text.isprintable() and _CONTROL.search(text):
            if "\0" in text:
                return refusals.NUL
            return refusals.BARE_CR if "\r" in text else refusals.CONTROL_CHARACTER
        verb, _, argument = text.partition(" ")
        handler = _HANDLERS.get(verb.upper())
        # Letters outside ASCII may have an upper case within: `R\u017fET` is no RSET.
        if handler is None or not verb.isascii():
            return refusals.UNKNOWN_COMMAND if text else refusals.EMPTY_LINE
        try:
            return handler(self, argument.lstrip(" "))
        except Refuse as refuse:
            return events.Invalid(refuse.reply, "argument")

    # Commands, in the order of RFC 5321 4.1.1

    def _ehlo(self, argument: str) -> Event:
        return syntax.hello(argument, True)

    def _helo(self, argument: str) -> Event:
        return syntax.hello(argument, False)

    def _mail(self, argument: str) -> Event:
        if not self._greeted:
            return refusals.HELLO_FIRST
        if self._in_transaction:
            return refusals.NESTED_MAIL
        event = syntax.mail(argument, self._extensions, self._limits.message_size)
        return refusals.REQUIRETLS_IN_CLEAR if event.requiretls and not self._tls else event

    def _rcpt(self, argument: str) -> Event:
        if not self._in_transaction:
            return refusals.MAIL_FIRST if self._greeted else refusals.HELLO_FIRST
        try:
            return syntax.rcpt(argument, self._extensions, self._smtputf8)
        except Refuse:
            self._refused_recipients = True
            raise

    def _data(self, argument: str) -> Event:
        if argument:
            return refusals.NO_ARGUMENT_ALLOWED
        if not self._in_transaction:
            return refusals.MAIL_FIRST if self._greeted else refusals.HELLO_FIRST
        if not self._recipients:
            # RFC 5321 3.3: 554 where all recipients were refused.
            return refusals.NO_VALID_RECIPIENTS if self._refused_recipients else refusals.RCPT_FIRST
        return _DATA

    def _rset(self, argument: str) -> Event:
        return refusals.NO_ARGUMENT_ALLOWED if argument else _RSET

    def _vrfy(self, argument: str) -> Event:
        return events.Vrfy(argument) if argument else refusals.VRFY_WANTS_ARGUMENT

    def _help(self, argument: str) -> Event:
        return events.Help(argument)

    def _noop(self, argument: str) -> Event:
        return _NOOP  # RFC 5321 4.1.1.9: a parameter is ignored

    def _quit(self, argument: str) -> Event:
        return refusals.NO_ARGUMENT_ALLOWED if argument else _QUIT

    def _starttls(self, argument: str) -> Event:
        if not self._extensions.starttls:
            return refusals.NOT_IMPLEMENTED
        if argument:
            return refusals.NO_ARGUMENT_ALLOWED  # RFC 3207 4
        if self._tls:
            return refusals.TLS_ACTIVE
        if not self._esmtp:
            return refusals.HELLO_FIRST
        if self._input:
            # CVE-2011-0411: commands sent in clear must not count as sent under TLS.
            return refusals.SENT_AHEAD_OF_TLS
        return _STARTTLS

    def _auth(self, argument: str) -> Event:
        if not self._extensions.auth:
            return refusals.NOT_IMPLEMENTED
        if not self._tls:
            return refusals.AUTH_NEEDS_TLS
        if not self._esmtp:
            return refusals.HELLO_FIRST
        if self._authenticated:
            return refusals.AUTHENTICATED
        if self._in_transaction:
            return refusals.AUTH_IN_TRANSACTION
        return syntax.auth(argument, self._extensions)

    def _xclient(self, argument: str) -> Event:
        if not self._extensions.xclient:
            return refusals.XCLIENT_NOT_ALLOWED
        return refusals.NESTED_MAIL if self._in_transaction else xclient.parse(argument)

    def _not_implemented(self, argument: str) -> Event:
        return refusals.NOT_IMPLEMENTED

    def _not_smtp(self, argument: str) -> Event:
        return refusals.NOT_SMTP

    def _proxy(self, argument: str) -> Event:
        return refusals.PROXY_NOT_ALLOWED

    # Replies in, bytes out

    def reply(self, reply: Reply) -> bytes:
        """Answer the pending event, which moves the state; give the bytes to send.

        Without a pending event (the greeting, a timeout) the reply is only encoded, and closes if it says so.
        """
        event, self._pending = self._pending, None
        answered = _ANSWERED.get(type(event))
        if answered is not None:
            answered(self, event, reply.code)
        if reply.close or reply.code == 421:  # RFC 5321 3.8: 421 announces the end
            self._close()
        # RFC 2034 4: no status code in the greeting and in replies to EHLO and HELO.
        if reply.status and (not self._extensions.enhancedstatuscodes or type(event) is events.Hello):
            reply = evolve(reply, status="")
        if reply.code == 334 and not reply.text:
            return b"334 \r\n"  # RFC 4954 4: the space stands before an empty challenge too
        return reply.encode()

    def _answered_hello(self, event: events.Hello, code: int) -> None:
        if code == 250:  # otherwise the state stays what it was (RFC 5321 4.1.4)
            self._greeted = True
            self._esmtp = event.esmtp
            self._reset()

    def _answered_mail(self, event: events.Mail, code: int) -> None:
        if code == 250:
            self._in_transaction = True
            self._smtputf8 = event.smtputf8

    def _answered_rcpt(self, event: events.Rcpt, code: int) -> None:
        if 200 <= code < 300:  # 250 or 251 (RFC 5321 4.3.2)
            self._recipients += 1
        else:
            self._refused_recipients = True

    def _answered_data(self, event: events.Data, code: int) -> None:
        if code == 354:
            self._phase = _IN_DATA
            self._reader = DataReader(self._limits.message_size, self._limits.data_line)

    def _answered_content(self, event: events.ContentEnd, code: int) -> None:
        self._phase = _COMMAND
        self._reset()
        if event.problem is not None and event.problem.close:
            self._close()  # nothing of a client that sends bare CR or LF can be trusted to be a command

    def _answered_rset(self, event: events.Rset, code: int) -> None:
        if code == 250:
            self._reset()

    def _answered_quit(self, event: events.Quit, code: int) -> None:
        self._close()

    def _answered_starttls(self, event: events.StartTls, code: int) -> None:
        if code == 220:
            self._phase = _TLS

    def _answered_auth(self, event: events.Auth | events.AuthResponse, code: int) -> None:
        if code == 334:
            self._phase = _AUTH
        elif code == 235:
            self._authenticated = True

    def _answered_xclient(self, event: events.Xclient, code: int) -> None:
        if code == 220:
            self._forget()

    def _close(self) -> None:
        self._phase = _CLOSED
        self._reader = None
        self._content_end = None
        self._input.clear()

    def hello_reply(self, event: events.Hello) -> Reply:
        """The positive reply to EHLO, with the extensions that hold now, or to HELO."""
        if not event.esmtp:
            return Reply(250, "", (self._hostname,))
        keywords = self._extensions.keywords(tls=self._tls, authenticated=self._authenticated)
        return Reply(250, "", (self._hostname, *keywords))

    def tls_started(self) -> None:
        """The TLS handshake is done: forget EHLO, AUTH and the transaction (RFC 3207 4.2).

        Call it before the first decrypted bytes are received. Bytes that came in clear are not run: they become an
        Invalid that closes.
        """
        if self._phase is _CLOSED:
            return
        self._tls = True
        self._phase = _TLS if self.buffered else _COMMAND
        self._pending = None
        self._forget()


_Handler = Callable[[ServerConnection, str], Event]
_HANDLERS: dict[str, _Handler] = {
    "EHLO": ServerConnection._ehlo,
    "HELO": ServerConnection._helo,
    "MAIL": ServerConnection._mail,
    "RCPT": ServerConnection._rcpt,
    "DATA": ServerConnection._data,
    "RSET": ServerConnection._rset,
    "VRFY": ServerConnection._vrfy,
    "HELP": ServerConnection._help,
    "NOOP": ServerConnection._noop,
    "QUIT": ServerConnection._quit,
    "STARTTLS": ServerConnection._starttls,
    "AUTH": ServerConnection._auth,
    "XCLIENT": ServerConnection._xclient,
    "PROXY": ServerConnection._proxy,
    # Known to exist (RFC 5321 4.2.4): 502, not 500.
    **dict.fromkeys(
        ("EXPN", "ETRN", "TURN", "ATRN", "BDAT", "SEND", "SOML", "SAML"), ServerConnection._not_implemented
    ),
    **dict.fromkeys(("GET", "POST", "PUT", "CONNECT", "OPTIONS"), ServerConnection._not_smtp),
}
_ANSWERED: dict[type, Callable[[ServerConnection, Any, int], None]] = {
    events.Hello: ServerConnection._answered_hello,
    events.Mail: ServerConnection._answered_mail,
    events.Rcpt: ServerConnection._answered_rcpt,
    events.Data: ServerConnection._answered_data,
    events.ContentEnd: ServerConnection._answered_content,
    events.Rset: ServerConnection._answered_rset,
    events.Quit: ServerConnection._answered_quit,
    events.StartTls: ServerConnection._answered_starttls,
    events.Auth: ServerConnection._answered_auth,
    events.AuthResponse: ServerConnection._answered_auth,
    events.Xclient: ServerConnection._answered_xclient,
}
