"""clamd's protocol: INSTREAM (clamd(8)), one message a connection."""

from __future__ import annotations

import re

from attrs import frozen

from mailgw.engines.errors import Broken, Declined, quote
from mailgw.engines.facts import clean

COMMAND = b"zINSTREAM\0"
"""With `z` the command and the reply end with NUL."""
END = b"\0\0\0\0"
"""A piece of no octets."""

# `stream: Eicar-Test-Signature FOUND`; the name of the stream is ours to ignore.
_FOUND = re.compile(rb"[^:]*: (\S[^\r\n]*) FOUND")
_TOO_LARGE = b"INSTREAM size limit exceeded"


@frozen
class Scan:
    """What clamd said: the signature that it found, or empty; or that this is more than its StreamMaxLength."""

    signature: str = ""
    too_large: bool = False


def frame(piece: bytes) -> bytes:
    """Put the length before a piece (not an empty one: that is END)."""
    return len(piece).to_bytes(4, "big") + piece


class ScanReader:
    """Reads the reply to INSTREAM; then `scan` holds it."""

    def __init__(self) -> None:
        self.scan = Scan()
        self._data = b""

    def feed(self, data: bytes) -> bool:
        """Raises Broken for what is no reply, Declined for an error that clamd reports."""
        self._data += data
        reply, nul, _ = self._data.partition(b"\0")
        if not nul:
            if not data and self._data:
                raise Broken(f"it ended in the middle of its reply {quote(self._data)}")
            if len(self._data) > 4096:
                raise Broken(f"its reply does not end: {quote(self._data)}")
            return False
        self.scan = _parse(reply.strip())
        return True


def _parse(reply: bytes) -> Scan:
    if reply.endswith(b": OK"):
        return Scan()
    found = _FOUND.fullmatch(reply)
    if found:
        return Scan(clean(found.group(1).decode("utf-8", "replace")))
    if reply.startswith(_TOO_LARGE):
        return Scan(too_large=True)
    if reply.endswith(b"ERROR"):
        raise Declined(f"it reports {quote(reply)}")
    raise Broken(f"its reply is none of clamd's: {quote(reply)}")
