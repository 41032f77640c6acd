"""The message in chunks (RFC 3030 2): what comes behind BDAT, counted in octets."""

from __future__ import annotations

from mailgw.mail.reply import Reply
from mailgw.smtp.data import ContentReader, crlf_only, first_bare
from mailgw.smtp.events import ChunkEnd, ContentEnd, Invalid

# Unlike with DATA, the end is beyond doubt: the session may go on.
BARE_IN_CHUNK = Reply(554, "5.6.0", ("The message holds a bare CR or LF; lines must end in CRLF (RFC 5321 2.3.8)",))


class ChunkReader(ContentReader):
    """Takes the chunks of one message, each after its `begin`; gives their content.

    A message that came by BDAT may leave by DATA. So it is held to what holds there: lines of bounded length that
    end in CRLF, or are made to with `normalise`, and no NUL. This is why BINARYMIME (RFC 3030 3) is not offered:
    content that is not lines could not be passed on to a next hop without BINARYMIME, and changing its encoding
    would break its signatures. A message whose last line does not end is completed, as DATA does by itself.

    The first problem counts. What it gives does not depend on how the bytes, or the chunks, are cut; but a problem
    is told at the end of the chunk that it stands in, and ends the message there. `wanted` counts the octets of the
    chunk that are still to come.
    """

    __slots__ = ("_held", "_last", "_normalise", "wanted")

    def __init__(self, size_limit: int, line_limit: int, *, normalise: bool = False) -> None:
        super().__init__(size_limit, line_limit)
        self._normalise = normalise
        self._held = b""  # a CR that may be half of a CRLF
        self.wanted = 0
        self._last = False

    @property
    def held(self) -> int:
        """Octets held back: one at most."""
        return len(self._held)

    def begin(self, size: int, last: bool) -> None:
        """A chunk of `size` octets comes; `last` tells that it ends the message."""
        self.wanted = size
        self._last = last

    def end(self) -> ChunkEnd | ContentEnd:
        """Give the event for the end of the chunk."""
        end = ContentEnd if self._last else ChunkEnd
        return end(self.size, self.problem)

    def receive(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take bytes; give the content in them, and None, or once the chunk has ended the bytes behind it."""
        part = data[: self.wanted]
        self.wanted -= len(part)
        rest = data[len(part) :] if not self.wanted else None
        complete = self._last and not self.wanted
        if self._held:
            part = self._held + part
            self._held = b""
        if not complete and part.endswith(b"\r"):
            part = part[:-1]
            self._held = b"\r"
        return self._lines(part, complete), rest

    def _lines(self, part: bytes, complete: bool) -> bytes:
        """See to the line ends. `complete` tells that the message ends with this part."""
        bare = first_bare(part)
        if bare >= 0 and self._normalise:
            part = crlf_only(part)
        elif bare >= 0:
            content = self._check(part[:bare])
            self.size += len(part) - bare
            if self.problem is None:
                self.problem = BARE_IN_CHUNK
                self._dropping = True
            return content
        content = self._check(part)
        if complete and self.problem is None and self._line:
            content += self._check(b"\r\n")
        return content


class RefusedChunk:
    """A chunk that is not wanted: its octets are dropped, so that they do not become commands (RFC 3030 2), and then
    `refusal` is due."""

    __slots__ = ("_refusal", "wanted")

    held = 0

    def __init__(self, size: int, refusal: Invalid) -> None:
        self.wanted = size
        self._refusal = refusal

    def end(self) -> Invalid:
        """Give the event for the end of the chunk."""
        return self._refusal

    def receive(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take bytes; give no content, and None, or once the chunk has ended the bytes behind it."""
        dropped = min(len(data), self.wanted)
        self.wanted -= dropped
        return b"", data[dropped:] if not self.wanted else None
