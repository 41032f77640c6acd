"""Answers that are still good, a bounded number of them."""

from __future__ import annotations

from collections import OrderedDict

from mailgw.dns.interface import Answer, DnsFailure, RecordType

# RFC 9520 3.2: a failure is remembered for 1 s at least and 5 min at most.
FAILURE_TTL = 5.0
# A larger answer is not kept, so that `size` answers are a bound on memory.
MAX_OCTETS = 4096

Key = tuple[str, RecordType]


class Cache:
    """At most `size` answers; the one that was unused for longest makes room."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Key, tuple[float, Answer | DnsFailure]] = OrderedDict()

    def get(self, key: Key, now: float) -> Answer | DnsFailure | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires, answer = entry
        if expires <= now:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return answer

    def put(self, key: Key, answer: Answer | DnsFailure, now: float) -> None:
        """Keep an answer for its TTL (nothing for 0), a failure for some seconds."""
        ttl = FAILURE_TTL if isinstance(answer, DnsFailure) else answer.ttl
        if ttl <= 0 or self._size <= 0 or _octets(answer) > MAX_OCTETS:
            return
        self._entries[key] = (now + ttl, answer)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


def _octets(answer: Answer | DnsFailure) -> int:
    if isinstance(answer, DnsFailure):
        return 0
    return sum(len(record) if isinstance(record, (str, bytes)) else 64 for record in answer.records)
