"""What a server offers, and what it bears: extensions and limits."""

from __future__ import annotations

from attrs import frozen

XCLIENT = "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"
"""LOGIN is not among them: it would let whoever has an address in the networks of proxies be any user without a
password. Users say AUTH."""


# RFC 9422 4: a limit has six digits at most.
_MOST = 999_999


@frozen
class Announced:
    """Limits for the client to know beforehand (RFC 9422): RCPT commands in a transaction, where the client is
    authenticated too, and MAIL commands in a session."""

    recipients: int
    recipients_authenticated: int
    transactions: int

    def keyword(self, *, authenticated: bool) -> str:
        """Give the line of the reply to EHLO. AUTH may change it (RFC 9422 3)."""
        recipients = self.recipients_authenticated if authenticated else self.recipients
        return f"LIMITS RCPTMAX={min(recipients, _MOST)} MAILMAX={min(self.transactions, _MOST)}"


@frozen
class Extensions:
    """The service extensions that a server offers in its reply to EHLO.

    `size` is the limit announced with SIZE in octets (RFC 1870), 0 for SIZE without a limit, None for no SIZE at all.
    `auth` holds the SASL mechanisms in the order of preference; they are offered under TLS only (RFC 4954 4).
    `dsn` (RFC 3461) makes RET, ENVID, NOTIFY and ORCPT known parameters; `requiretls` (RFC 8689) is offered under TLS
    only; `xclient` (Postfix's XCLIENT_README) is for trusted proxies only.
    `chunking` (RFC 3030) is BDAT, `limits` what is announced with LIMITS (RFC 9422).
    """

    size: int | None = None
    pipelining: bool = True
    eightbitmime: bool = True
    smtputf8: bool = True
    enhancedstatuscodes: bool = True
    starttls: bool = False
    auth: tuple[str, ...] = ()
    chunking: bool = False
    limits: Announced | None = None
    dsn: bool = False
    requiretls: bool = False
    xclient: bool = False

    def keywords(self, *, tls: bool, authenticated: bool) -> list[str]:
        """Give the lines of the reply to EHLO that hold now: no STARTTLS under TLS (RFC 3207 4.2), AUTH only there,
        and not twice (RFC 4954 4)."""
        lines = []
        if self.pipelining:
            lines.append("PIPELINING")
        if self.size is not None:
            lines.append(f"SIZE {self.size}" if self.size else "SIZE")
        if self.starttls and not tls:
            lines.append("STARTTLS")
        if self.auth and tls and not authenticated:
            lines.append("AUTH " + " ".join(self.auth))
        if self.enhancedstatuscodes:
            lines.append("ENHANCEDSTATUSCODES")
        if self.eightbitmime:
            lines.append("8BITMIME")
        if self.smtputf8:
            lines.append("SMTPUTF8")
        if self.chunking:
            lines.append("CHUNKING")
        if self.dsn:
            lines.append("DSN")
        if self.requiretls and tls:  # RFC 8689 2
            lines.append("REQUIRETLS")
        if self.limits is not None:
            lines.append(self.limits.keyword(authenticated=authenticated))
        if self.xclient:
            lines.append(XCLIENT)
        return lines


@frozen
class ServerLimits:
    """Bounds on what a client sends, in octets, with the line's CRLF.

    RFC 5321 4.5.3.1.4 wants at least 512 for a command line and 4.5.3.1.6 at least 1000 for a line of the message;
    RFC 4954 4 wants 12288 for a line within AUTH.
    """

    command_line: int = 2048
    auth_line: int = 12288
    data_line: int = 4096
    message_size: int = 50 * 1024 * 1024
