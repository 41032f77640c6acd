"""The envelope: what MAIL and RCPT said (RFC 5321 2.3.1, RFC 3461)."""

from __future__ import annotations

from attrs import field, frozen

from mailgw.mail.address import Mailbox


@frozen
class Recipient:
    """One forward-path with its RFC 3461 parameters.

    `orcpt` is the original recipient as sent (`rfc822;user@example`, xtext undone) or empty; `notify` holds
    `NEVER`, or some of `SUCCESS`, `FAILURE`, `DELAY`, or nothing when the client said nothing.
    """

    forward_path: Mailbox
    orcpt: str = ""
    notify: frozenset[str] = frozenset()


@frozen
class Envelope:
    """Where a message comes from and goes to. `reverse_path` is None for the null reverse-path `<>`."""

    reverse_path: Mailbox | None
    recipients: tuple[Recipient, ...] = ()
    body: str = field(default="")
    """`7BIT`, `8BITMIME` (RFC 6152), or empty when the client said nothing."""
    smtputf8: bool = False
    ret: str = ""
    """`FULL`, `HDRS` or empty (RFC 3461 4.3)."""
    envid: str = ""
    requiretls: bool = False
