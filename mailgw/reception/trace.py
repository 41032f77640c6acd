"""The fields that we put in front of a message when we take it (RFC 5321 4.4, RFC 8601)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache

from mailgw.mail.address import AddressError, ascii_domain, parse_domain
from mailgw.mail.evidence import AuthResult
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client, Transaction
from mailgw.mail.verdict import Verdict

# What may stand in a comment (RFC 5322 3.2.2 ctext); the rest could end it, or the field.
_NO_CTEXT = re.compile(r"[^ -'*-\[\]-~\x80-\U0010ffff]")


# RFC 5321 4.4 wants a `from`; RFC 6761 6.4: a name below `invalid` is nobody's.
_HIDDEN = "client.invalid (authenticated user)"
_OWN_LOOP = 10


def received(transaction: Transaction, hostname: str, now: float, *, hide_client: bool = False) -> bytes:
    """Make our Received field. `now` is the wall clock in seconds.

    With `hide_client` the field does not tell where an authenticated user is.
    """
    client = transaction.client
    recipients = transaction.envelope.recipients
    hidden = hide_client and client.identity
    from_domain = _HIDDEN if hidden else _from_domain(client, reverse_name(transaction.auth))
    # RFC 5321 7.6: with several recipients a `for` clause would show one of them to the others.
    for_clause = f"\r\n for <{recipients[0].forward_path}>" if len(recipients) == 1 else ""
    tls = f"\r\n ({_comment(client.tls)})" if client.tls else ""
    return (
        f"Received: from {from_domain}\r\n by {hostname} (mailgw) with {protocol(transaction)}"
        f" id {transaction.id}{tls}{for_clause};\r\n {date(int(now))}\r\n"
    ).encode()


def completion(message: Message, message_id: str, hostname: str, now: float) -> bytes:
    """Make the Date and Message-ID fields that a user's message has not (RFC 6409 8.2, 8.3).

    Whoever adds them behind us would break our signatures, which say that there are none.
    """
    fields = ""
    if message.get("Date") is None:
        fields += f"Date: {date(int(now))}\r\n"
    if message.get("Message-ID") is None:
        fields += f"Message-ID: <{message_id}@{hostname}>\r\n"
    return fields.encode()


def protocol(transaction: Transaction) -> str:
    """The `with` protocol: RFC 3848, and RFC 6531 4.3 for SMTPUTF8."""
    client = transaction.client
    if not client.esmtp:
        return "SMTP"
    if client.service == "lmtp":
        name = "UTF8LMTP" if transaction.envelope.smtputf8 else "LMTP"
    else:
        name = "UTF8SMTP" if transaction.envelope.smtputf8 else "ESMTP"
    return name + ("S" if client.tls else "") + ("A" if client.identity else "")


@lru_cache(maxsize=8)
def date(seconds: int) -> str:
    """The date of RFC 5322 3.3, in UTC: the log's times and the trace's then compare without arithmetic."""
    moment = time.gmtime(seconds)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.tm_wday]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.tm_mon - 1]
    return f"{day}, {moment.tm_mday:02d} {month} {moment.tm_year} {time.strftime('%H:%M:%S', moment)} +0000"


def reverse_name(results: Sequence[AuthResult]) -> str:
    """Give the name of the client's address that leads back to it, or nothing: a name that does not may be a lie."""
    for result in results:
        if result.method == "iprev" and result.result == "pass":
            try:
                return ascii_domain(parse_domain(result.comment))
            except AddressError:
                return ""
    return ""


def _from_domain(client: Client, name: str) -> str:
    """`helo (name [address])` where HELO is a domain or a literal; else the address, and what it said."""
    literal = address_literal(client.address)
    try:
        return f"{parse_domain(client.helo)} ({f'{name} {literal}' if name else literal})"
    except AddressError:
        return f"{literal} (HELO {_comment(client.helo)})"


def address_literal(address: str) -> str:
    """Write an IP address as RFC 5321 4.1.3 does."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def loop(message: Message, hostname: str, hops: int) -> str:
    """Say why the message must be in a loop (RFC 5321 6.3), or nothing.

    That is when it has been on more than `hops` servers, or so often here that no forwarding explains it.
    """
    fields = [field for field in message.fields if field.key == "received"]
    if len(fields) > hops:
        return f"the message has {len(fields)} Received fields"
    ours = f" by {hostname} (mailgw) with ".encode()
    times = sum(ours in field.raw for field in fields)
    return f"the message has been here {times} times" if times > _OWN_LOOP else ""


# RFC 5321 4.4: it is written at final delivery. One that came from outside is no reverse-path of ours.
RETURN_PATH = frozenset({"return-path"})
# What we write ourselves: one that came from outside would be taken for our verdict.
SPAM_FIELDS = frozenset({"x-spam-flag", "x-spam-score", "x-spam-symbols"})


def cuts(message: Message, keys: frozenset[str]) -> tuple[tuple[int, int], ...]:
    """Give the offsets in the head of each field with one of these names (in lower case), for `Message.cuts`."""
    head = message.head.lower()
    if not any(key.encode() in head for key in keys):
        return ()
    found = []
    position = 0
    for field in message.fields:
        position = message.head.index(field.raw, position)
        if field.key in keys:
            found.append((position, position + len(field.raw)))
        position += len(field.raw)
    return tuple(found)


def merged(cuts: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Put cuts in order, and make one of those that overlap."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(cuts):
        if result and start < result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def _comment(text: str) -> str:
    return _NO_CTEXT.sub("?", text)[:255]


def spam_fields(verdict: Verdict) -> bytes:
    """Make the X-Spam fields: the flag, the score, and the symbols with their points."""
    flag = "YES" if verdict.action == "spam" else "NO"
    lines = [f"X-Spam-Flag: {flag}", f"X-Spam-Score: {verdict.score:.2f}"]
    symbols = [f"{line.symbol}={line.points:.2f}" for line in verdict.lines]
    if symbols:
        lines.append("X-Spam-Symbols: " + _folded(symbols))
    return ("\r\n".join(lines) + "\r\n").encode()


def _folded(words: list[str], width: int = 76) -> str:
    lines: list[str] = []
    line = ""
    room = width - len("X-Spam-Symbols: ")
    for n, word in enumerate(words):
        piece = word + ("," if n < len(words) - 1 else "")
        if line and len(line) + 1 + len(piece) > room:
            lines.append(line)
            line, room = piece, width
        else:
            line = f"{line} {piece}" if line else piece
    lines.append(line)
    return "\r\n ".join(lines)
