"""What a server connection hands out: one event for each command, and the pieces of the message.

Every event but `Content` and `Bdat` wants exactly one reply.
"""

from __future__ import annotations

from attrs import frozen

from mailgw.mail.address import Mailbox
from mailgw.mail.reply import Reply


@frozen
class Hello:
    """EHLO (`esmtp`) or HELO. `domain` is what the client calls itself: printable ASCII, 255 characters at most, and
    not checked otherwise: some clients send what is no domain (RFC 5321 4.1.4)."""

    esmtp: bool
    domain: str


@frozen
class Mail:
    """MAIL. `reverse_path` is None for `<>`; `size` is what the client declared in octets (RFC 1870), or None;
    `body` is `7BIT`, `8BITMIME` (RFC 6152) or empty. `ret` and `envid` (RFC 3461) stay empty unless DSN is offered,
    `requiretls` (RFC 8689) is False unless REQUIRETLS is."""

    reverse_path: Mailbox | None
    size: int | None = None
    body: str = ""
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requiretls: bool = False


@frozen
class Rcpt:
    """RCPT. The bare `<postmaster>` (RFC 5321 4.5.1) has an empty domain. `notify` and `orcpt` (RFC 3461) stay empty
    unless DSN is offered."""

    forward_path: Mailbox
    notify: frozenset[str] = frozenset()
    orcpt: str = ""


@frozen
class Data:
    """DATA, with a transaction that has recipients. 354 lets the message come."""


@frozen
class Bdat:
    """BDAT (RFC 3030 2), with a transaction that has recipients. It wants no reply: its `size` octets follow at once,
    as Content, and then ChunkEnd, or ContentEnd where this is the last chunk."""

    size: int
    last: bool


@frozen
class ChunkEnd:
    """A chunk has come that is not the last. `size` and `problem` are those of the message so far, as with
    ContentEnd. A problem, or any other reply than 250, ends the transaction."""

    size: int
    problem: Reply | None = None


@frozen
class Content:
    """A piece of the message, dots unstuffed. It wants no reply."""

    data: bytes


@frozen
class ContentEnd:
    """The message has come to its end. `size` counts its octets, dropped ones included (but up to the first bare CR
    or LF only). With a `problem` the message cannot be taken and that is the reply to give; what was handed out of it
    is to be thrown away."""

    size: int
    problem: Reply | None = None


@frozen
class Rset:
    """RSET."""


@frozen
class Noop:
    """NOOP."""


@frozen
class Quit:
    """QUIT."""


@frozen
class Vrfy:
    """VRFY with the string to verify."""

    argument: str


@frozen
class Help:
    """HELP, with a topic or the empty string."""

    argument: str


@frozen
class StartTls:
    """STARTTLS, with no byte behind it. After the reply 220 and the handshake `tls_started` is to be called."""


@frozen
class Auth:
    """AUTH with an offered mechanism (upper case) and the decoded initial response; None when there was none, empty
    for `=` (RFC 4954 4). A reply 334 makes the next line an AuthResponse."""

    mechanism: str
    initial: bytes | None


@frozen
class AuthResponse:
    """The client's decoded answer to a challenge, or None when it cancelled with `*` (501 is due)."""

    data: bytes | None


@frozen
class Xclient:
    """XCLIENT: what a trusted proxy says of its client; None for what it does not say, or does not know. Reply 220
    brings the connection to its beginning: EHLO has to come again."""

    name: str | None = None
    address: str | None = None
    port: int | None = None
    protocol: str | None = None
    helo: str | None = None
    local_address: str | None = None
    local_port: int | None = None


@frozen
class Invalid:
    """Something that the core refuses by itself: `reply` is to be sent as it is. `reason` is a short word for the log
    (`unknown_command`, `bad_sequence`, ...); neither holds anything of an AUTH line."""

    reply: Reply
    reason: str


Event = (
    Hello
    | Mail
    | Rcpt
    | Data
    | Bdat
    | ChunkEnd
    | Content
    | ContentEnd
    | Rset
    | Noop
    | Quit
    | Vrfy
    | Help
    | StartTls
    | Auth
    | AuthResponse
    | Xclient
    | Invalid
)
