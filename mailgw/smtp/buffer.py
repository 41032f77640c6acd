"""What came from the peer and is not yet read."""

from __future__ import annotations


class ReceiveBuffer:
    """Bytes in the order of their arrival, taken line by line or all at once.

    Pieces are joined when they are looked at, and the unread part is not moved for each line: neither many small
    pieces nor many small lines cost more than their octets.
    """

    __slots__ = ("_arrived", "_arrived_size", "_discarding", "_joined", "_position")

    def __init__(self) -> None:
        self._joined = b""
        self._position = 0  # where the unread part of `_joined` begins
        self._arrived: list[bytes] = []
        self._arrived_size = 0
        self._discarding = False  # in a line that is too long, whose beginning was dropped

    def __len__(self) -> int:
        return len(self._joined) - self._position + self._arrived_size

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._arrived.append(data)
        self._arrived_size += len(data)

    def take(self, limit: int | None = None) -> bytes:
        """Give what is held: all, or its first `limit` octets."""
        if self._arrived:
            self._join()
        if limit is not None and limit < len(self._joined) - self._position:
            start = self._position
            self._position = start + limit
            return self._joined[start : start + limit]
        data = self._joined[self._position :] if self._position else self._joined
        self._joined = b""
        self._position = 0
        return data

    def put_back(self, data: bytes) -> None:
        """Hold the rest of what was taken. Only for an empty buffer."""
        self._joined = data
        self._position = 0

    def clear(self) -> None:
        """Drop all that is held."""
        self.take()
        self._discarding = False

    def next_line(self, limit: int, auth_limit: int = 0) -> bytes | None:
        """Take one line with the LF that ends it; None when there is none yet.

        A line longer than `limit` octets (its end included) is dropped as it comes; when its end has come an empty
        line is given for it. A line that begins with AUTH may have `auth_limit` octets (RFC 4954 4).
        """
        if self._arrived:
            self._join()
        joined, start = self._joined, self._position
        if start == len(joined):
            return None
        end = joined.find(b"\n", start) + 1
        length = (end or len(joined)) - start
        if length > limit and joined[start : start + 5].upper() == b"AUTH ":
            limit = max(limit, auth_limit)
        if not end:
            if self._discarding or length > limit:
                self._joined = b""
                self._position = 0
                self._discarding = True
            return None
        self._position = end
        if self._discarding or length > limit:
            self._discarding = False
            return b""
        return joined[start:end]

    def _join(self) -> None:
        if self._position < len(self._joined):
            self._arrived.insert(0, self._joined[self._position :])
        self._joined = self._arrived[0] if len(self._arrived) == 1 else b"".join(self._arrived)
        self._position = 0
        self._arrived.clear()
        self._arrived_size = 0
