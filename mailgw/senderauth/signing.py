"""DKIM-Signature fields for a message that goes out (RFC 6376 5, RFC 8301, RFC 8463).

Relaxed in both: relays fold fields and strip space. No l=, which would let others append to the body (RFC 6376 8.2).
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from mailgw.mail.message import BytesContent, Field, Message
from mailgw.senderauth.hashes import canonical_fields, hash_body, hash_fields
from mailgw.senderauth.signature import MAX_SIGNED_FIELDS
from mailgw.senderauth.signing_key import SigningKey

# What the reader sees, what tells what it answers, and what says how to read it (RFC 6376 5.4.1).
_SIGNED = (
    "from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding", "autocrypt", "openpgp",
    "tls-report-domain", "tls-report-submitter",  # RFC 8460 5.3
)  # fmt: skip
# Signed once more than they are there, so that nobody can add one (RFC 6376 8.15).
_OVERSIGNED = frozenset(
    ("from", "reply-to", "to", "cc", "subject", "date", "message-id", "mime-version", "content-type",
     "content-transfer-encoding")
)  # fmt: skip
# Lists and those who resend add such fields, so only what is there is signed. RFC 8058 4 wants List-Unsubscribe and
# List-Unsubscribe-Post signed.
_FAMILIES = ("list-", "resent-")
# Names that can stand in h= and are short enough to be real.
_PLAIN_NAME = re.compile(r"[a-z0-9-]{1,64}")
_FORM = "relaxed"
_WIDTH = 76
_NAME = b"DKIM-Signature"


def sign(message: Message, keys: Sequence[SigningKey], now: int, expires: int | None = None) -> bytes:
    """Give the fields to put in front of what `message` sends (its prefix, its content without the cuts), one a key.

    `now` and `expires` are wall clock times in seconds. Blocks where the content is in a file. Raises OSError.
    """
    body = base64.b64encode(hash_body(message, {_FORM})[_FORM][0]).decode("ascii")
    fields = Message(BytesContent(b""), message.head_out).fields
    names = signed_names(fields)
    canonical = canonical_fields(fields, names, f"{_FORM}/{_FORM}")
    return b"".join(_field(key, names, canonical, body, now, expires) for key in keys)


def signed_names(fields: Iterable[Field]) -> tuple[str, ...]:
    """Give the names for h=: each as often as it is there, and once more where it is oversigned."""
    counts = Counter(field.key for field in fields)
    names: list[str] = []
    for name in (*_SIGNED, *sorted(filter(_in_family, counts))):
        # Who sends for somebody else says so; where that is not said, a list may add it.
        once_more = name in _OVERSIGNED or (name == "sender" and counts[name] > 0)
        names += [name] * (counts[name] + once_more)
    return tuple(names[:MAX_SIGNED_FIELDS])


def _in_family(name: str) -> bool:
    return name.startswith(_FAMILIES) and _PLAIN_NAME.fullmatch(name) is not None


def _field(
    key: SigningKey, names: Sequence[str], canonical: bytes, body_hash: str, now: int, expires: int | None
) -> bytes:
    times = f"t={now};" if expires is None else f"t={now}; x={expires};"
    lines = [
        f" v=1; a={key.algorithm}; c={_FORM}/{_FORM}; d={key.domain}; s={key.selector};",
        f" {times}",
        *_list(names),
        f" bh={body_hash};",
        " b=",
    ]
    unsigned = "\r\n".join(lines).encode("ascii")
    data = base64.b64encode(key.sign(hash_fields(canonical, _NAME, unsigned, f"{_FORM}/{_FORM}"))).decode("ascii")
    first = _WIDTH - len(" b=")
    pieces = [data[:first], *(data[start : start + _WIDTH] for start in range(first, len(data), _WIDTH))]
    return b"".join((_NAME, b":", unsigned, "\r\n ".join(pieces).encode("ascii"), b"\r\n"))


def _list(names: Sequence[str]) -> list[str]:
    """The h= tag in lines; space may stand around its colons (RFC 6376 3.5)."""
    lines = [" h="]
    for number, name in enumerate(names):
        word = name + (":" if number < len(names) - 1 else ";")
        if len(lines[-1]) + len(word) > _WIDTH:
            lines.append(" ")
        lines[-1] += word
    return lines
