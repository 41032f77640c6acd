"""The fields that we put in front of a message when we take it (RFC 5321 4.4, RFC 8601)."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from mailgw.mail.address import AddressError, parse_domain
from mailgw.mail.transaction import Client, Transaction
from mailgw.mail.verdict import Verdict

# What may stand in a comment (RFC 5322 3.2.2 ctext); the rest could end it, or the field.
_NO_CTEXT = re.compile(r"[^ -'*-\[\]-~\x80-\U0010ffff]")


def received(transaction: Transaction, hostname: str, now: float) -> bytes:
    """Make our Received field. `now` is the wall clock in seconds."""
    client = transaction.client
    recipients = transaction.envelope.recipients
    # RFC 5321 7.6: with several recipients a `for` clause would show one of them to the others.
    for_clause = f"\r\n for <{recipients[0].forward_path}>" if len(recipients) == 1 else ""
    tls = f"\r\n ({_comment(client.tls)})" if client.tls else ""
    return (
        f"Received: from {_from_domain(client)}\r\n by {hostname} (mailgw) with {protocol(transaction)}"
        f" id {transaction.id}{tls}{for_clause};\r\n {date(int(now))}\r\n"
    ).encode()


def protocol(transaction: Transaction) -> str:
    """The `with` protocol: RFC 3848, and RFC 6531 4.3 for SMTPUTF8."""
    client = transaction.client
    if not client.esmtp:
        return "SMTP"
    name = "UTF8SMTP" if transaction.envelope.smtputf8 else "ESMTP"
    return name + ("S" if client.tls else "") + ("A" if client.identity else "")


@lru_cache(maxsize=8)
def date(seconds: int) -> str:
    """The date of RFC 5322 3.3, in UTC: the log's times and the trace's then compare without arithmetic."""
    moment = time.gmtime(seconds)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.tm_wday]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.tm_mon - 1]
    return f"{day}, {moment.tm_mday:02d} {month} {moment.tm_year} {time.strftime('%H:%M:%S', moment)} +0000"


def _from_domain(client: Client) -> str:
    """`helo (address)` where HELO gave a domain or a literal; else the address, with what it said as a comment."""
    literal = address_literal(client.address)
    try:
        return f"{parse_domain(client.helo)} ({literal})"
    except AddressError:
        return f"{literal} (HELO {_comment(client.helo)})"


def address_literal(address: str) -> str:
    """Write an IP address as RFC 5321 4.1.3 does."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


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
