"""SMTP replies, and the two refusals that travel as exceptions."""

from __future__ import annotations

from attrs import field, frozen


@frozen
class Reply:
    """A reply: a code, an enhanced status code (RFC 3463) or none, and lines of text.

    `close` says that the server ends the session after it. `each` is for LMTP, which answers a message once for each of
    its recipients (RFC 2033 4.2): these replies, in the order of RCPT, where they are not all this one.
    """

    code: int
    status: str = ""
    lines: tuple[str, ...] = field(default=("",))
    close: bool = False
    each: tuple[Reply, ...] = ()

    @classmethod
    def of(cls, code: int, status: str, text: str, *, close: bool = False) -> Reply:
        """Make a reply from a text whose lines become the reply's lines."""
        return cls(code, status, tuple(text.split("\n")), close)

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    @property
    def temporary(self) -> bool:
        return 400 <= self.code < 500

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    def encode(self) -> bytes:
        """Give the wire form: `250-...` lines, then `250 ...` (RFC 5321 4.2.1, RFC 2034 4).

        Control characters in a text become `?`, so that a reply never holds a line that we did not mean.
        """
        status = f"{self.status} " if self.status else ""
        lines = self.lines
        if not "".join(lines).isprintable():
            lines = tuple(map(_printable, lines))
        text = f"{self.code} {status}{lines[-1]}".rstrip() + "\r\n"
        if len(lines) > 1:
            text = "".join([f"{self.code}-{status}{line}".rstrip() + "\r\n" for line in lines[:-1]]) + text
        return text.encode()

    def __str__(self) -> str:
        return f"{self.code} {self.status + ' ' if self.status else ''}{self.text}".rstrip()


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


class Refuse(Exception):
    """A decision about this peer: it gets `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class TemporaryFailure(Exception):
    """DNS, disk or a database failed us: 451 inbound, a later try outbound. `cause` is for the log, not the peer."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class StorageFull(TemporaryFailure):
    """There is no room for another message now: 452 (RFC 5321 4.2.3), which tells the client that waiting helps."""
