"""Feedback reports (ARF: RFC 5965, RFC 6591) as values: complaints, and messages that failed authentication."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from attrs import frozen

from mailgw.mail.message import Message

_MAX_VALUE = 16 * 1024
_MAX_REPEATED = 100
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{3,45}")
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


class ArfRefused(ValueError):
    """It is no feedback report; the text says why."""


@frozen
class FeedbackReport:
    """The fields of message/feedback-report; `fields` has all of them by lower-case name, in their order.

    `arrival` is in seconds since the epoch, 0 where it does not say. `headers` is the header of the message that it is
    about, where the reporter shows that alone.
    """

    feedback_type: str
    user_agent: str
    source_ip: str
    arrival: int
    incidents: int
    domains: tuple[str, ...]
    fields: Mapping[str, tuple[str, ...]]
    headers: str = ""

    def field(self, name: str) -> str:
        """Give the first field of that name (in lower case), or an empty text."""
        return next(iter(self.fields.get(name, ())), "")


def read_arf(data: bytes, headers: bytes = b"") -> FeedbackReport:
    """Read the part message/feedback-report. Raises ArfRefused."""
    message = Message.from_bytes(_LINE_ENDS.sub(b"\r\n", data.strip()) + b"\r\n\r\n")
    fields: dict[str, tuple[str, ...]] = {}
    for field in message.fields:
        value = field.raw.partition(b":")[2].strip().decode("utf-8", "replace")[:_MAX_VALUE]
        known = fields.setdefault(field.key, ())
        if len(known) < _MAX_REPEATED:
            fields[field.key] = (*known, value)
    kind = fields.get("feedback-type", ("",))[0].lower()
    if not kind:
        raise ArfRefused("it names no Feedback-Type")
    source = _ADDRESS.match(fields.get("source-ip", ("",))[0])
    incidents = fields.get("incidents", ("1",))[0]
    return FeedbackReport(
        kind,
        fields.get("user-agent", ("",))[0],
        source[0] if source else "",
        _moment(fields),
        int(incidents) if incidents.isascii() and incidents.isdigit() and len(incidents) < 10 else 1,
        tuple(domain.lower() for domain in fields.get("reported-domain", ())),
        fields,
        headers.decode("utf-8", "replace"),
    )


def _moment(fields: Mapping[str, tuple[str, ...]]) -> int:
    """RFC 5965 3.2: Arrival-Date; earlier drafts called it Received-Date."""
    for name in ("arrival-date", "received-date"):
        for text in fields.get(name, ()):
            try:
                return max(int(parsedate_to_datetime(text).timestamp()), 0)
            except (ValueError, OverflowError):
                continue
    return 0
