"""Session and transaction ids: sortable by time, hard to guess, safe in a log, a path and a reply."""

from __future__ import annotations

# Crockford's base 32 sorts as the numbers do and has no letters that read alike.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def new_id(now: float, entropy: bytes) -> str:
    """Make an id of 16 characters from the wall clock (seconds) and at least 4 random bytes.

    9 characters of milliseconds (good until the year 3084) and 7 of randomness.
    """
    number = (int(now * 1000) & (1 << 45) - 1) << 35 | int.from_bytes(entropy[:5].rjust(5, b"\0")) & (1 << 35) - 1
    return "".join([_PAIRS[number >> bits & 1023] for bits in range(70, -1, -10)])
