"""The hash of a message's body as DKIM wants it (RFC 6376 3.4.3 and 3.4.4), of a body of any size in bounded memory."""

from __future__ import annotations

import hashlib
import re

# A CR or LF that is no line end. Such do not come through SMTP here; they count as text.
_LONE = re.compile(rb"\r(?!\n)(?!\Z)|(?<!\r)\n")
_PIECE = b"\r\n" * 4096
_TABS = bytes.maketrans(b"\t", b" ")


class BodyHash:
    """Takes a body in pieces, gives SHA-256 and the length of its canonical form.

    Between pieces it holds a count of line ends and at most two octets in the relaxed form (in the simple form one).
    """

    def __init__(self, relaxed: bool) -> None:
        self._relaxed = relaxed
        self._hash = hashlib.sha256()
        self._line_ends = 0
        self._rest = b""
        self.length = 0

    def update(self, piece: bytes) -> None:
        data = self._rest + piece if self._rest else piece
        # What may turn out to be an empty line at the end of the body, or space at the end of a line, waits.
        end = len(data.rstrip(b" \t\r\n" if self._relaxed else b"\r\n"))
        tail = data[end:]
        text = max((lone.end() for lone in _LONE.finditer(tail)), default=0)
        end, tail = end + text, tail[text:]
        if end:
            self._put_line_ends()
            self._put(data[:end])
        self._line_ends += tail.count(b"\r\n")
        rest = tail.rpartition(b"\r\n")[2]
        if self._relaxed and len(rest) > 1:
            rest = b" \r" if rest.endswith(b"\r") else b" "
        self._rest = rest

    def finish(self) -> tuple[bytes, int]:
        """Give the digest and the length."""
        rest = self._rest
        if rest.strip(b" \t"):  # a lone CR at the very end
            self._put_line_ends()
            self._put(rest)
        # RFC 6376 3.4.3: an empty body is one CRLF in the simple form, and nothing in the relaxed form (3.4.4).
        if self.length or not self._relaxed:
            self._hash.update(b"\r\n")
            self.length += 2
        return self._hash.digest(), self.length

    def _put_line_ends(self) -> None:
        count, self._line_ends = self._line_ends, 0
        self.length += 2 * count
        while count > 0:
            self._hash.update(_PIECE[: 2 * count])
            count -= len(_PIECE) // 2

    def _put(self, data: bytes) -> None:
        if self._relaxed:
            if b"\t" in data:
                data = data.translate(_TABS)
            # Each round halves the runs of space: linear, where a pattern would try again at each space of a run.
            while b"  " in data:
                data = data.replace(b"  ", b" ")
            data = data.replace(b" \r\n", b"\r\n")
        self.length += len(data)
        self._hash.update(data)
