"""The verbs of a client: which may come when (RFC 5321 4.1.4), and what each is as an event.

A verb is a function of the state and its argument. It gives an event, or raises `Refuse` for a bad argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define

from mailgw.mail.reply import Refuse
from mailgw.smtp import events, refusals, syntax, xclient
from mailgw.smtp.chunks import ChunkReader, RefusedChunk
from mailgw.smtp.events import Event
from mailgw.smtp.extensions import Extensions, ServerLimits

_DATA = events.Data()
_RSET = events.Rset()
_NOOP = events.Noop()
_QUIT = events.Quit()
_STARTTLS = events.StartTls()


@define
class State:
    """What the verbs that may come depend on."""

    extensions: Extensions
    limits: ServerLimits
    lmtp: bool
    tls: bool
    greeted: bool = False
    esmtp: bool = False
    authenticated: bool = False
    in_transaction: bool = False
    smtputf8: bool = False
    recipients: int = 0
    refused_recipients: bool = False
    chunks: ChunkReader | None = None
    """Of the message that has begun with BDAT."""

    def forget(self) -> None:
        """Go back to before EHLO (RFC 3207 4.2)."""
        self.greeted = False
        self.esmtp = False
        self.authenticated = False
        self.reset()

    def reset(self) -> None:
        """End the transaction (RFC 5321 4.1.1.5)."""
        self.in_transaction = False
        self.smtputf8 = False
        self.recipients = 0
        self.refused_recipients = False
        self.chunks = None

    @property
    def hello_first(self) -> events.Invalid:
        return refusals.LHLO_FIRST if self.lmtp else refusals.HELLO_FIRST


# In the order of RFC 5321 4.1.1


def ehlo(state: State, argument: str) -> Event:
    return refusals.UNKNOWN_COMMAND if state.lmtp else syntax.hello("EHLO", argument)  # RFC 2033 4.1


def helo(state: State, argument: str) -> Event:
    return refusals.UNKNOWN_COMMAND if state.lmtp else syntax.hello("HELO", argument)


def lhlo(state: State, argument: str) -> Event:
    return syntax.hello("LHLO", argument) if state.lmtp else refusals.UNKNOWN_COMMAND


def mail(state: State, argument: str) -> Event:
    if not state.greeted:
        return state.hello_first
    if state.in_transaction:
        return refusals.NESTED_MAIL
    event = syntax.mail(argument, state.extensions, state.limits.message_size)
    return refusals.REQUIRETLS_IN_CLEAR if event.requiretls and not state.tls else event


def rcpt(state: State, argument: str) -> Event:
    if not state.in_transaction:
        return refusals.MAIL_FIRST if state.greeted else state.hello_first
    if state.chunks is not None:
        return refusals.RCPT_AFTER_BDAT
    try:
        return syntax.rcpt(argument, state.extensions, state.smtputf8)
    except Refuse:
        state.refused_recipients = True
        raise


def data(state: State, argument: str) -> Event:
    if argument:
        return refusals.NO_ARGUMENT_ALLOWED
    if state.chunks is not None:
        return refusals.DATA_AFTER_BDAT  # RFC 3030 2
    return no_message(state) or _DATA


def bdat(state: State, argument: str) -> events.Bdat | RefusedChunk:
    """The octets of the chunk follow whatever is thought of it; a RefusedChunk reads them away."""
    size, last = syntax.bdat(argument)
    refusal = no_message(state) if state.extensions.chunking else refusals.NOT_IMPLEMENTED
    return events.Bdat(size, last) if refusal is None else RefusedChunk(size, refusal)


def no_message(state: State) -> events.Invalid | None:
    """Why no message may come now; None when it may."""
    if not state.in_transaction:
        return refusals.MAIL_FIRST if state.greeted else state.hello_first
    if not state.recipients:
        # RFC 5321 3.3: 554 where all recipients were refused; RFC 2033 4.2: 503 nevertheless.
        refused = state.refused_recipients and not state.lmtp
        return refusals.NO_VALID_RECIPIENTS if refused else refusals.RCPT_FIRST
    return None


def rset(state: State, argument: str) -> Event:
    return refusals.NO_ARGUMENT_ALLOWED if argument else _RSET


def vrfy(state: State, argument: str) -> Event:
    return events.Vrfy(argument) if argument else refusals.VRFY_WANTS_ARGUMENT


def help_(state: State, argument: str) -> Event:
    return events.Help(argument)


def noop(state: State, argument: str) -> Event:
    return _NOOP  # RFC 5321 4.1.1.9: a parameter is ignored


def quit_(state: State, argument: str) -> Event:
    return refusals.NO_ARGUMENT_ALLOWED if argument else _QUIT


def starttls(state: State, argument: str) -> Event:
    if not state.extensions.starttls:
        return refusals.NOT_IMPLEMENTED
    if argument:
        return refusals.NO_ARGUMENT_ALLOWED  # RFC 3207 4
    if state.tls:
        return refusals.TLS_ACTIVE
    if not state.esmtp:
        return state.hello_first
    return _STARTTLS


def auth(state: State, argument: str) -> Event:
    if not state.extensions.auth:
        return refusals.NOT_IMPLEMENTED
    if not state.tls:
        return refusals.AUTH_NEEDS_TLS
    if not state.esmtp:
        return state.hello_first
    if state.authenticated:
        return refusals.AUTHENTICATED
    if state.in_transaction:
        return refusals.AUTH_IN_TRANSACTION
    return syntax.auth(argument, state.extensions)


def xclient_(state: State, argument: str) -> Event:
    if not state.extensions.xclient:
        return refusals.XCLIENT_NOT_ALLOWED
    return refusals.NESTED_MAIL if state.in_transaction else xclient.parse(argument)


def proxy(state: State, argument: str) -> Event:
    """A header of the PROXY protocol, from who may not send one."""
    return refusals.PROXY_NOT_ALLOWED


def not_implemented(state: State, argument: str) -> Event:
    return refusals.NOT_IMPLEMENTED


def not_smtp(state: State, argument: str) -> Event:
    return refusals.NOT_SMTP


VERBS: Mapping[str, Callable[[State, str], Event | RefusedChunk]] = {
    "EHLO": ehlo,
    "HELO": helo,
    "LHLO": lhlo,
    "MAIL": mail,
    "RCPT": rcpt,
    "DATA": data,
    "BDAT": bdat,
    "RSET": rset,
    "VRFY": vrfy,
    "HELP": help_,
    "NOOP": noop,
    "QUIT": quit_,
    "STARTTLS": starttls,
    "AUTH": auth,
    "XCLIENT": xclient_,
    "PROXY": proxy,
    # Known to exist (RFC 5321 4.2.4): 502, not 500.
    **dict.fromkeys(("EXPN", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML"), not_implemented),
    **dict.fromkeys(("GET", "POST", "PUT", "CONNECT", "OPTIONS"), not_smtp),
}
