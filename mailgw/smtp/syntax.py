"""The arguments of commands (RFC 5321 4.1.1, 4.1.2): paths and parameters.

Functions take the argument as text without control characters, and raise `Refuse` with the reply that says what is
wrong with it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.reply import Refuse, Reply
from mailgw.smtp import dsn, refusals
from mailgw.smtp.events import Auth, AuthResponse, Hello, Invalid, Mail, Rcpt
from mailgw.smtp.extensions import Extensions

P = ParamSpec("P")
T = TypeVar("T")

MAX_HELLO = 255

# RFC 5321 4.1.2: a path in angle brackets, in which a quoted string may hold a `>`. Possessive: linear on any input.
_PATH = re.compile(r'<([^"<>]*+(?:"(?:[^"\\]|\\.)*+"[^"<>]*+)*+)>(?: +(.*))?')
# RFC 5321 4.1.2 A-d-l: a source route, which "SHOULD be ignored" (4.1.1.3, appendix C).
_SOURCE_ROUTE = re.compile(r"@[^:@,<>]++(?:,@[^:@,<>]++)*+:")
# RFC 5321 4.1.2 esmtp-param; with SMTPUTF8 a value may hold non-ASCII (RFC 6531 3.3).
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([^=]+))?")
_CHUNK = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE | re.ASCII)


def hello(verb: str, argument: str) -> Hello:
    """The argument of EHLO, LHLO or HELO: anything printable in ASCII; what to think of it is for others to decide."""
    if not argument:
        raise _refuse(501, "5.5.4", f"Syntax: {verb} hostname")
    if len(argument) > MAX_HELLO:
        raise _refuse(501, "5.5.4", f"The name is longer than {MAX_HELLO} characters")
    if not argument.isascii():
        raise _refuse(501, "5.5.4", "The name is not ASCII: send the A-label form (RFC 5890)")
    return Hello(verb != "HELO", argument)


def mail(argument: str, extensions: Extensions, message_size: int) -> Mail:
    """The argument of MAIL: `FROM:<reverse-path>` and parameters."""
    path, parameters = _path(argument, "MAIL FROM:<address>", "FROM:")
    size: int | None = None
    body = ret = envid = ""
    smtputf8 = requiretls = False
    for keyword, value in _parameters(parameters) if parameters else ():
        if keyword == "SIZE" and extensions.size is not None:
            size = _size(value, message_size)
        elif keyword == "BODY" and extensions.eightbitmime:
            body = value.upper()
            if body not in ("7BIT", "8BITMIME"):
                raise _refuse(501, "5.5.4", "BODY is 7BIT or 8BITMIME")
        elif keyword == "SMTPUTF8" and extensions.smtputf8:
            smtputf8 = True
            if value:
                raise _refuse(501, "5.5.4", "SMTPUTF8 takes no value")
        elif keyword == "AUTH" and extensions.auth:
            # RFC 4954 5: who submitted the message elsewhere. Peers are not trusted with it: as good as AUTH=<>.
            _read(dsn.printable_xtext, keyword, value)
        elif keyword == "RET" and extensions.dsn:
            ret = _read(dsn.ret, value)
        elif keyword == "ENVID" and extensions.dsn:
            envid = _read(dsn.envid, value)
        elif keyword == "REQUIRETLS" and extensions.requiretls:
            requiretls = True
            if value:
                raise _refuse(501, "5.5.4", "REQUIRETLS takes no value")
        else:
            raise _unknown_parameter("MAIL", keyword)
    if not path:
        return Mail(None, size, body, smtputf8, ret, envid, requiretls)
    mailbox = _mailbox(path, "5.1.7", smtputf8)
    return Mail(mailbox, size, body, smtputf8, ret, envid, requiretls)


def rcpt(argument: str, extensions: Extensions, smtputf8: bool) -> Rcpt:
    """The argument of RCPT: `TO:<forward-path>` and parameters. `smtputf8` is what MAIL said."""
    path, parameters = _path(argument, "RCPT TO:<address>", "TO:")
    notify: frozenset[str] = frozenset()
    orcpt = ""
    for keyword, value in _parameters(parameters) if parameters else ():
        if keyword == "NOTIFY" and extensions.dsn:
            notify = _read(dsn.notify, value)
        elif keyword == "ORCPT" and extensions.dsn:
            orcpt = _read(dsn.orcpt, value, smtputf8)
        else:
            raise _unknown_parameter("RCPT", keyword)
    if not path:
        raise _refuse(501, "5.1.3", "The null address <> is no recipient")
    if path.lower() == "postmaster":  # RFC 5321 4.1.1.3
        return Rcpt(Mailbox("postmaster", ""), notify, orcpt)
    return Rcpt(_mailbox(path, "5.1.3", smtputf8), notify, orcpt)


def bdat(argument: str) -> tuple[int, bool]:
    """The argument of BDAT (RFC 3030 2): how many octets follow, and whether they are the last.

    Where that is not clear, what follows may be content or commands. So the refusal closes the session.
    """
    match = _CHUNK.fullmatch(argument)
    if match is None:
        raise Refuse(refusals.BDAT_SYNTAX.reply)
    return int(match[1]), match[2] is not None


def auth(argument: str, extensions: Extensions) -> Auth | Invalid:
    """The argument of AUTH: a mechanism, then the initial response in base64 if there is one (RFC 4954 4)."""
    mechanism, space, initial = argument.partition(" ")
    mechanism = mechanism.upper()
    if not mechanism or " " in initial:
        return refusals.AUTH_SYNTAX
    if mechanism not in extensions.auth or not argument.isascii():
        return refusals.UNKNOWN_MECHANISM
    if not space:
        return Auth(mechanism, None)
    if initial == "=":  # an initial response of zero length
        return Auth(mechanism, b"")
    try:
        return Auth(mechanism, base64_decode(initial.encode()))
    except ValueError:
        return refusals.BAD_BASE64


def auth_response(line: bytes) -> AuthResponse | Invalid:
    """A line that answers a challenge, without its CRLF: base64, or `*` to cancel (RFC 4954 4)."""
    if line == b"*":
        return AuthResponse(None)
    try:
        return AuthResponse(base64_decode(line))
    except ValueError:
        return refusals.BAD_BASE64


def base64_decode(data: bytes) -> bytes:
    """Strict base64 (RFC 4648 4, RFC 4954 4). Raises ValueError."""
    return base64.b64decode(data, validate=True)  # binascii.Error is a ValueError


def _path(argument: str, usage: str, keyword: str) -> tuple[str, str]:
    """Split into what stands in the angle brackets (without source route) and the parameters."""
    head = argument[: len(keyword)]
    if head != keyword and head.upper() != keyword:
        raise _refuse(501, "5.5.4", f"Syntax: {usage}")
    # RFC 5321 3.3 allows no space after the colon, but clients send it and most servers accept it.
    rest = argument[len(keyword) :].lstrip(" ")
    if not rest.startswith("<"):
        raise _refuse(501, "5.5.4", f"The address must stand in angle brackets: {usage}")
    match = _PATH.fullmatch(rest)
    if match is None:
        raise _refuse(501, "5.5.4", f"The address is malformed: {usage}")
    path, parameters = match.groups()
    if path.startswith("@"):
        route = _SOURCE_ROUTE.match(path)
        path = path[route.end() :] if route else path
        if not path:
            raise _refuse(501, "5.5.4", f"The address is malformed: {usage}")
    return path, parameters or ""


def _mailbox(path: str, status: str, smtputf8: bool) -> Mailbox:
    if not smtputf8 and not path.isascii():
        # RFC 6531 3.5
        raise _refuse(553, "5.6.7", "A non-ASCII address needs SMTPUTF8 with MAIL")
    try:
        return Mailbox.parse(path)
    except AddressError as error:
        raise _refuse(501, status, f"Bad address syntax: {error}") from None


def _parameters(text: str) -> Iterable[tuple[str, str]]:
    """Split `KEYWORD=value` pairs; keywords in upper case, each at most once (RFC 5321 4.1.2)."""
    found: dict[str, str] = {}
    for parameter in text.split(" "):
        match = _PARAMETER.fullmatch(parameter)
        if match:
            keyword = match[1].upper()
            if keyword in found:
                raise _refuse(501, "5.5.4", f"Parameter {keyword[:80]} is given twice")
            found[keyword] = match[2] or ""
        elif parameter:  # more than one space in a row is let through
            shown = parameter[:80].encode("ascii", "replace").decode("ascii")
            raise _refuse(501, "5.5.4", f"Malformed parameter {shown}")
    return found.items()


def _size(value: str, limit: int) -> int:
    """RFC 1870 5: a message that is declared too large is refused at once (6.1)."""
    if not (value.isdecimal() and value.isascii()) or len(value) > 20:
        raise _refuse(501, "5.5.4", "SIZE is a number of octets")
    size = int(value)
    if size > limit:
        raise _refuse(552, "5.3.4", f"The message is larger than {limit} octets")
    return size


def _read(reader: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Read a value by a function that raises ValueError."""
    try:
        return reader(*arguments, **named)
    except ValueError as error:
        raise _refuse(501, "5.5.4", str(error)) from None


def _unknown_parameter(verb: str, keyword: str) -> Refuse:
    return _refuse(555, "5.5.4", f"{verb} parameter {keyword[:80]} is not known here")


def _refuse(code: int, status: str, text: str) -> Refuse:
    return Refuse(Reply(code, status, (text,)))
