"""The client's side of SMTP (RFC 5321) and LMTP (RFC 2033), sans-IO: commands out, replies in.

`ReplyReader` turns bytes into replies, `Capabilities` is what EHLO offered, `MailTransaction` says what to write
next, and `DotStuffer` makes the content ready for DATA.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache

from attrs import frozen

from mailgw.mail.reply import Reply
from mailgw.smtp.data import crlf_only, is_plain

# RFC 5321 4.5.3.1.5 says 512 octets a reply line; servers exceed it. Beyond these bounds a peer is not worth reading.
MAX_REPLY_LINE = 2048
MAX_REPLY_LINES = 128
# Short lines are parsed once.
MAX_KNOWN_LINE = 80

_LINE = re.compile(r"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
# RFC 3463 2, RFC 2034 4: the status stands first in the text of each line.
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


class PeerError(Exception):
    """The peer does not speak SMTP (any more): the session cannot go on. The text says what came."""


class ReplyReader:
    """Bytes in, replies out. Never holds more than MAX_REPLY_LINES lines of MAX_REPLY_LINE octets."""

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._texts: list[str] = []

    @property
    def buffered(self) -> int:
        """Octets and lines held of a reply that is not complete; 0 when nothing is."""
        return len(self._rest) + len(self._texts)

    def receive(self, data: bytes) -> list[Reply]:
        """Take bytes; give the replies that they complete. Raises PeerError."""
        *lines, self._rest = (self._rest + data if self._rest else data).split(b"\n")
        if len(self._rest) > MAX_REPLY_LINE:
            raise PeerError(f"sent a reply line longer than {MAX_REPLY_LINE} octets")
        return [reply for line in lines if (reply := self._line(line))]

    def _line(self, line: bytes) -> Reply | None:
        if not self._texts and len(line) <= MAX_KNOWN_LINE and line[3:4] == b" ":
            return _known(line)
        if len(line) > MAX_REPLY_LINE:
            raise PeerError(f"sent a reply line longer than {MAX_REPLY_LINE} octets")
        code, more, text = _parse(line)
        if self._texts and code != self._code:
            raise PeerError(f"changed the code within a reply from {self._code} to {code}")
        self._code = code
        if not more:
            texts, self._texts = (*self._texts, text), []
            return _reply(code, texts)
        if len(self._texts) >= MAX_REPLY_LINES:
            raise PeerError(f"sent a reply of more than {MAX_REPLY_LINES} lines")
        self._texts.append(text)
        return None


@lru_cache(maxsize=256)
def _known(line: bytes) -> Reply:
    """Most replies to MAIL, RCPT and DATA are ever the same."""
    code, _, text = _parse(line)
    return _reply(code, (text,))


def _parse(line: bytes) -> tuple[int, bool, str]:
    """Give code, whether more lines follow, and text."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    match = _LINE.fullmatch(text)
    if not match:
        raise PeerError(f"sent what is no SMTP reply: {text[:100]!r}")
    return int(match[1]), match[2] == "-", match[3] or ""


def _reply(code: int, texts: tuple[str, ...]) -> Reply:
    match = _STATUS.match(texts[0])
    if not match:
        return Reply(code, "", texts)
    status = match[1]
    return Reply(code, status, tuple(t[len(status) :].lstrip() if t.startswith(status) else t for t in texts))


@frozen
class Capabilities:
    """What the reply to EHLO offered. `size` is None without SIZE, 0 for no fixed maximum (RFC 1870 4)."""

    name: str = ""
    size: int | None = None
    pipelining: bool = False
    eightbitmime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    starttls: bool = False
    auth: frozenset[str] = frozenset()
    requiretls: bool = False

    @classmethod
    def parse(cls, reply: Reply) -> Capabilities:
        """Read the reply to EHLO or LHLO, keywords in any case (RFC 5321 4.1.1.1); what is unknown is passed over."""
        words: dict[str, str] = {}
        for line in reply.lines[1:]:
            # `AUTH=LOGIN PLAIN` is what old servers write.
            keyword, _, parameters = line.strip().replace("=", " ", 1).partition(" ")
            words[keyword.upper()] = f"{words.get(keyword.upper(), '')} {parameters}".strip()
        size = words.get("SIZE")
        return cls(
            name=reply.lines[0].partition(" ")[0],
            size=None if size is None else int(size) if re.fullmatch(r"[0-9]{1,20}", size, re.ASCII) else 0,
            pipelining="PIPELINING" in words,
            eightbitmime="8BITMIME" in words,
            smtputf8="SMTPUTF8" in words,
            dsn="DSN" in words,
            requiretls="REQUIRETLS" in words,
            starttls="STARTTLS" in words,
            auth=frozenset(words.get("AUTH", "").upper().split()),
        )


def command(text: str) -> bytes:
    """Encode a command line. Raises ValueError for a control character: it would be another command."""
    if _CONTROL.search(text):
        raise ValueError(f"a control character in the command {text!r}")
    return text.encode() + b"\r\n"


def auth_plain(username: str, password: str) -> bytes:
    """AUTH PLAIN with its initial response (RFC 4954 4, RFC 4616 2)."""
    if "\0" in username + password:
        raise ValueError("NUL in the user name or the password")
    return b"AUTH PLAIN " + base64.b64encode(f"\0{username}\0{password}".encode()) + b"\r\n"


def auth_login(username: str, password: str) -> tuple[bytes, ...]:
    """AUTH LOGIN (draft-murchison-sasl-login): the command, and what follows each 334. Exchange offers nothing else."""
    lines = (base64.b64encode(text.encode()) + b"\r\n" for text in (username, password))
    return (b"AUTH LOGIN\r\n", *lines)


class DotStuffer:
    """Makes content ready for DATA (RFC 5321 4.5.2), the same at any chunking.

    Content that was accepted has CRLF only. A bare CR or LF that stands in it for whatever reason becomes CRLF, so
    that no server can see an end of data where we mean none (2.3.8).
    """

    def __init__(self) -> None:
        self._held = b""
        self._line_start = True

    def feed(self, data: bytes) -> bytes:
        """Give what to write for the next piece of content."""
        if self._held:
            data = self._held + data
            self._held = b""
        if data.endswith(b"\r"):  # whether it is bare shows in the next piece
            data, self._held = data[:-1], b"\r"
        if not data:
            return b""
        return self._stuff(data)

    def end(self) -> bytes:
        """Give the end of data, which always stands behind CRLF."""
        rest = self._stuff(self._held) if self._held else b""
        self._held = b""
        return rest + (b".\r\n" if self._line_start else b"\r\n.\r\n")

    def _stuff(self, data: bytes) -> bytes:
        dot = self._line_start and data.startswith(b".")
        if not is_plain(data):
            data = crlf_only(data).replace(b"\r\n.", b"\r\n..")
        self._line_start = data.endswith(b"\r\n")
        return b"." + data if dot else data


@frozen
class Result:
    """What decided a recipient: the reply, and the command that it answered (`MAIL`, `RCPT`, `DATA`, `end of data`)."""

    reply: Reply
    command: str


class Step(Enum):
    """What a transaction waits for."""

    RESET = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    CONTENT = auto()
    """354 came: the caller writes the content with its end, then calls `content_sent`."""
    FINAL = auto()
    VOID = auto()
    """The reply to an empty content that nobody gets."""
    DONE = auto()


class MailTransaction:
    """One mail transaction: `start` and `receive` say what to write, `results` say what became of each recipient.

    `mail` and `recipients` are whole command lines. With `pipelining` they and DATA go out together (RFC 2920 3.1).
    `reset` puts RSET in front, which a session needs whose last transaction was not finished. With `lmtp` each
    accepted recipient has a reply of its own to the content (RFC 2033 4.2).
    """

    def __init__(
        self,
        mail: bytes,
        recipients: Sequence[bytes],
        *,
        pipelining: bool = False,
        reset: bool = False,
        lmtp: bool = False,
    ) -> None:
        self._mail = mail
        self._commands = recipients
        self._pipelining = pipelining
        self._lmtp = lmtp
        self._next = 0
        self._accepted: list[int] = []
        self._opened = False
        self.step = Step.RESET if reset else Step.MAIL
        self.results: list[Result | None] = [None] * len(recipients)
        """None for a recipient of whom nothing is known: not yet, or never when the session broke."""
        self.heard = False
        """Whether a reply came, other than 421: an idle session that is only ended now was of no use."""
        self.content_begun = False
        self.content_complete = False
        """Whether the end of data went out: from there on the message may have been taken."""
        self.unfinished = False
        """Whether the session needs RSET before its next transaction."""
        self.closing = False
        """Whether the session can take no more: 421, or a refusal in the middle of the content."""

    def start(self) -> bytes:
        """Give the first bytes to write."""
        first = b"RSET\r\n" if self.step is Step.RESET else b""
        if self._pipelining:
            return b"".join((first, self._mail, *self._commands, b"DATA\r\n"))
        return first or self._mail

    def receive(self, reply: Reply) -> bytes:
        """Take the next reply; give what to write now. Raises PeerError for a reply that makes no sense."""
        if reply.code == 421:  # RFC 5321 3.8: it may come in answer to anything
            self._decide_rest(reply)
            self.closing = True
            self.step = Step.DONE
            return b""
        self.heard = True
        return _HANDLERS[self.step](self, reply)

    def content_sent(self) -> None:
        """The content and its end are written."""
        if self.step is Step.CONTENT:
            self.content_complete = True
            self.step = Step.FINAL

    def _reset_answered(self, reply: Reply) -> bytes:
        if reply.code >= 300:
            raise PeerError(f"answered RSET with {reply}")
        self.step = Step.MAIL
        return b"" if self._pipelining else self._mail

    def _mail_answered(self, reply: Reply) -> bytes:
        self._check(reply, "MAIL")
        self._opened = reply.code < 300
        if not self._opened:
            self._decide_rest(reply)
            if not self._pipelining:
                return self._end()
        self.step = Step.RCPT
        return b"" if self._pipelining else self._commands[0]

    def _rcpt_answered(self, reply: Reply) -> bytes:
        self._check(reply, "RCPT")
        number = self._next
        self._next += 1
        if reply.code >= 400:
            if self.results[number] is None:
                self.results[number] = Result(reply, "RCPT")
        elif self._opened:
            self._accepted.append(number)
        if self._next < len(self._commands):
            return b"" if self._pipelining else self._commands[self._next]
        if not self._pipelining and not self._accepted:
            return self._end()
        self.step = Step.DATA
        return b"" if self._pipelining else b"DATA\r\n"

    def _data_answered(self, reply: Reply) -> bytes:
        if reply.code == 354:
            if self._accepted:
                self.content_begun = True
                self.step = Step.CONTENT
                return b""
            # RFC 2920 3.1: with no recipient the only way on is a content that is empty.
            self.step = Step.VOID
            return b".\r\n"
        if reply.code < 400:
            raise PeerError(f"answered DATA with {reply}")
        self._decide_rest(reply)
        return self._end()

    def _content_interrupted(self, reply: Reply) -> bytes:
        if reply.code < 400:
            raise PeerError(f"answered before the content was sent: {reply}")
        self._decide_rest(reply)
        self.closing = True
        self.step = Step.DONE
        return b""

    def _final_answered(self, reply: Reply) -> bytes:
        if 300 <= reply.code < 400:
            raise PeerError(f"answered the end of data with {reply}")
        if not self._lmtp:
            self._decide_rest(reply)
            self.step = Step.DONE
            return b""
        self.results[self._accepted.pop(0)] = Result(reply, "end of data")
        if not self._accepted:
            self.step = Step.DONE
        return b""

    def _void_answered(self, reply: Reply) -> bytes:
        self.step = Step.DONE
        return b""

    def _done_already(self, reply: Reply) -> bytes:
        raise PeerError(f"sent a reply to no command: {reply}")

    def _end(self) -> bytes:
        self.unfinished = self._opened
        self.step = Step.DONE
        return b""

    def _decide_rest(self, reply: Reply) -> None:
        name = _NAMES.get(self.step, "end of data")
        result = Result(reply, name)
        self.results = [result if known is None else known for known in self.results]

    def _check(self, reply: Reply, name: str) -> None:
        if 300 <= reply.code < 400:
            raise PeerError(f"answered {name} with {reply}")


_NAMES = {Step.RESET: "RSET", Step.MAIL: "MAIL", Step.RCPT: "RCPT", Step.DATA: "DATA"}
_HANDLERS = {
    Step.RESET: MailTransaction._reset_answered,
    Step.MAIL: MailTransaction._mail_answered,
    Step.RCPT: MailTransaction._rcpt_answered,
    Step.DATA: MailTransaction._data_answered,
    Step.CONTENT: MailTransaction._content_interrupted,
    Step.FINAL: MailTransaction._final_answered,
    Step.VOID: MailTransaction._void_answered,
    Step.DONE: MailTransaction._done_already,
}
