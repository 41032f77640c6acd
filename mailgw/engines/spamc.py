"""The protocol of spamc and spamd, version 1.5 (spamd/PROTOCOL of SpamAssassin): the command REPORT.

Of all commands only REPORT gives the points of each rule. Its table is text, in the template of the site, so what is
not found there is not missed.
"""

from __future__ import annotations

import re

from mailgw.engines.errors import Broken, Declined, quote
from mailgw.engines.facts import Facts
from mailgw.engines.foreign import Judgement, finite

_STATUS = re.compile(rb"SPAMD/[0-9.]+ +(\d+) +(.*)")
_SPAM = re.compile(rb"(True|False|Yes|No) *; *(\S+) */ *(\S+)", re.IGNORECASE)
# ` 1.9 BAYES_50  description`, in the table that ends with the report.
_LINE = re.compile(r"^\*? *(-?\d{1,4}(?:\.\d{1,3})?) +([A-Z][A-Z0-9_]{2,}) ", re.MULTILINE)
_MAX_HEAD = 8192


def request(size: int, user: str = "") -> bytes:
    """Give what goes before a message of `size` octets. `user` is whose preferences count; empty: spamd's own."""
    name = f"User: {user}\r\n".encode() if user else b""
    return b"REPORT SPAMC/1.5\r\n" + name + b"Content-length: %d\r\n\r\n" % size


def received(facts: Facts, date: str) -> bytes:
    """Give the fields that stand for us before the message, as SpamAssassin reads them: who brought it, and from whom.

    They are no part of the message: the one that is delivered gets the gateway's own.
    """
    name = facts.name or "unknown"
    authenticated = f" (Authenticated sender: {facts.user})" if facts.user else ""
    address = f"IPv6:{facts.address}" if ":" in facts.address else facts.address
    return (
        f"Return-Path: <{facts.reverse_path}>\r\n"
        f"Received: from {facts.helo or 'unknown'} ({name} [{address}]){authenticated}\r\n"
        f"\tby {facts.hostname} (mailgw) with {facts.protocol} id {facts.queue_id};\r\n\t{date}\r\n"
    ).encode()


class ReportReader:
    """Reads the answer to REPORT; then `judgement` holds it."""

    def __init__(self) -> None:
        self.judgement = Judgement(0.0)
        self._data = b""
        self._body_at = -1
        self._length: int | None = None

    def feed(self, data: bytes) -> bool:
        """Raises Broken for what is no answer, Declined for an error that spamd reports."""
        self._data += data
        if self._body_at < 0:
            end = self._data.find(b"\r\n\r\n")
            if end < 0 and data and len(self._data) <= _MAX_HEAD:
                return False
            self._read_head(self._data if end < 0 else self._data[:end])
            if end < 0:
                raise Broken(f"its answer is no head of spamd's: {quote(self._data)}")
            self._body_at = end + 4
        body = self._data[self._body_at :]
        # Without a length, the end of the connection ends it.
        complete = not data if self._length is None else len(body) >= self._length
        if complete:
            table = body.decode("utf-8", "replace")
            rules = tuple((name, float(points)) for points, name in _LINE.findall(table))
            self.judgement = Judgement(self._score, self._threshold, symbols=rules)
        return complete

    def _read_head(self, head: bytes) -> None:
        status, *lines = head.split(b"\r\n")
        match = _STATUS.fullmatch(status)
        if not match:
            raise Broken(f"its answer is none of spamd's: {quote(status)}")
        if match.group(1) != b"0":
            raise Declined(f"it reports {quote(match.group(2))}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        length = fields.get(b"content-length", b"")
        self._length = int(length) if length.isdigit() and len(length) < 10 else None
        spam = _SPAM.fullmatch(fields.get(b"spam", b""))
        if not spam:
            raise Broken(f"its answer has no line Spam: {quote(head)}")
        self._score, self._threshold = (finite(spam.group(n).decode("latin-1")) for n in (2, 3))
