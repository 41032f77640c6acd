"""The message after 354 (RFC 5321 4.1.1.4, 4.5.2): its end, its dots, and what makes it unacceptable."""

from __future__ import annotations

import re

from mailgw.mail.reply import Reply
from mailgw.smtp.events import ContentEnd

_END = b"\r\n.\r\n"
# In most pieces one pass stops at nothing, or at the end. Patterns that begin with a literal are searched fast.
_DOT_OR_BARE_LF = re.compile(rb"\n(?:\.|(?<!\r\n))")
_BARE_LF = re.compile(rb"\n(?<!\r\n)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
# Any spelling of the end. The strict one contains `\n.\r`; all others hold a bare CR or LF.
_LENIENT_END = re.compile(rb"[\r\n]\.[\r\n]")

BARE_LINE_END = Reply(
    521,
    "5.5.2",
    ("A line of the message ends in a bare CR or LF; lines must end in CRLF (RFC 5321 2.3.8)",),
    close=True,
)
NUL_OCTET = Reply(554, "5.6.0", ("The message holds a NUL octet (RFC 5322 3.5)",))


class ContentReader:
    """What readers of a message have in common: they count its octets, and note what makes it unacceptable.

    `size` counts the octets of the content, `problem` is the reply that it must get or None. The content that was
    given ends where the problem begins.
    """

    __slots__ = ("_dropping", "_line", "_line_limit", "_size_limit", "problem", "size")

    def __init__(self, size_limit: int, line_limit: int) -> None:
        self.size = 0
        self.problem: Reply | None = None
        self._size_limit = size_limit
        self._line_limit = line_limit
        self._line = 0  # octets of the unfinished line
        self._dropping = False

    def _check(self, content: bytes) -> bytes:
        """Count the content; give it, or what comes before its first problem."""
        before = self.size
        self.size = before + len(content)
        if self._dropping:
            return b""
        problem: Reply | None = None
        if self.size > self._size_limit:
            content = content[: self._size_limit - before]
            problem = _too_large(self._size_limit)
        if b"\0" in content:
            content = content[: content.index(0)]
            problem = NUL_OCTET
        too_long = self._overlong_line(content)
        if too_long >= 0:
            content = content[:too_long]
            problem = _overlong(self._line_limit)
        if problem is not None:
            self.problem = problem
            self._dropping = True
        return content

    def _overlong_line(self, content: bytes) -> int:
        """Give the offset at which a line becomes too long, or -1. Looks at one place in every `_line_limit` octets."""
        limit, length = self._line_limit, len(content)
        start = -self._line  # where the line under way began
        while length - start > limit:
            newline = content.rfind(b"\n", max(start, 0), start + limit)
            if newline < 0:
                return start + limit
            start = newline + 1
        newline = content.rfind(b"\n", max(start, 0))
        self._line = length - (newline + 1 if newline >= 0 else start)
        return -1


class DataReader(ContentReader):
    """Takes the bytes behind 354; gives the content, dots unstuffed, and finds its end.

    Only CRLF.CRLF ends the data, so that a message has one length for every server on its way. When a bare CR or LF
    was seen, nothing will be accepted and the session closes; then, and only then, an end in other spellings is
    taken too, so that a client that sends bare LFs gets its answer at once. Whatever the problem, reading goes on to
    the end, so that content can never become commands.

    With `normalise` a bare CR or LF becomes CRLF instead. Dots and the end are looked for before that, in what was
    sent: LF.LF is a line of the content that holds a dot, and relay will stuff it.

    Everything that it gives depends on the bytes alone, not on how they are cut into pieces. It works on whole pieces
    with bulk searches, and holds back 4 octets at most.

    The first problem counts, but a bare CR or LF counts over all others.
    """

    __slots__ = ("_held", "_lenient", "_normalise", "_skip")

    wanted = None
    """Octets to `receive` at most: no limit, as nobody knows where the end is."""

    def __init__(self, size_limit: int, line_limit: int, *, normalise: bool = False) -> None:
        super().__init__(size_limit, line_limit)
        self._normalise = normalise
        self._held = b""
        self._skip = -1  # -1: nothing has come yet; then the octets of the CRLF put in front that are not content
        self._lenient = False

    @property
    def held(self) -> int:
        """Octets held back because the end may begin with them."""
        return len(self._held)

    def end(self) -> ContentEnd:
        """Give the event for the end that has come."""
        return ContentEnd(self.size, self.problem)

    def receive(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take bytes; give the content in them, and None, or once the end has come the bytes behind it."""
        if not data:
            return b"", None
        if self._skip < 0:
            self._skip = 0
            if data[0] == 0x2E:
                # RFC 5321 4.1.1.4: the CRLF of the DATA line is the first CRLF of an end that comes at once.
                data = b"\r\n" + data
                self._skip = 2
        if self._held:
            data = self._held + data
            self._held = b""
        if self._lenient:
            return self._seek_lenient_end(data)
        odd = _DOT_OR_BARE_LF.search(data)
        end = odd.start() - 1 if odd else -1
        plain = odd is None or data.startswith(_END, end)
        if not plain:
            end = data.find(_END)
        stop = end + 2 if end >= 0 else len(data) - _overlap(data)
        part = data[:stop]
        bare = _BARE_CR.search(part) or (not plain and _BARE_LF.search(part))
        if bare and not self._normalise:
            return self._bare(data, part)
        if not plain:
            part = part.replace(b"\r\n.", b"\r\n")
        if self._skip and part:
            part = part[self._skip :]
            self._skip = 0
        if bare:
            part = crlf_only(part)
        content = self._check(part)
        if end >= 0:
            return content, data[end + 5 :]
        self._held = data[stop:]
        return content, None

    def _bare(self, data: bytes, part: bytes) -> tuple[bytes, bytes | None]:
        """Give the content up to the first bare CR or LF, and look for any end from here on."""
        position = first_bare(part)
        content = self._check(part[:position].replace(b"\r\n.", b"\r\n")[self._skip :])
        self._skip = 0
        self.problem = BARE_LINE_END
        self._dropping = self._lenient = True
        return content, self._seek_lenient_end(data)[1]

    def _seek_lenient_end(self, data: bytes) -> tuple[bytes, bytes | None]:
        match = _LENIENT_END.search(data)
        if match:
            return b"", data[match.end() :]
        self._held = data[-2:]
        return b"", None


def first_bare(data: bytes) -> int:
    """Give the place of the first bare CR or LF, or -1."""
    if _BARE_CR.search(data) or _BARE_LF.search(data):
        match = _BARE.search(data)
        return match.start() if match else -1
    return -1


def is_plain(data: bytes) -> bool:
    """Whether it can be sent as it stands, but for a dot at its start: no later line begins with a dot, and no CR or LF
    is bare."""
    return _DOT_OR_BARE_LF.search(data) is None and _BARE_CR.search(data) is None


def crlf_only(data: bytes) -> bytes:
    """Make every bare CR and LF a CRLF."""
    return _BARE_LF.sub(b"\r\n", _BARE_CR.sub(b"\r\n", data))


def _overlap(data: bytes) -> int:
    """How many octets at the end of `data` may be the beginning of the end of data."""
    if data[-1:] not in (b"\r", b"\n", b"."):
        return 0
    for length in (4, 3, 2, 1):
        if data.endswith(_END[:length]):
            return length
    return 0


def _too_large(limit: int) -> Reply:
    return Reply(552, "5.3.4", (f"The message is larger than {limit} octets",))


def _overlong(limit: int) -> Reply:
    return Reply(554, "5.6.0", (f"A line of the message is longer than {limit} octets",))
