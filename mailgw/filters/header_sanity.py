"""Header sanity: what RFC 5322 asks of a header section and mail programs keep, and much of spam does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.filters.addresses import find_addresses
from mailgw.filters.base import FilterSettings
from mailgw.filters.dates import parse_date
from mailgw.filters.text import show
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Field, Message
from mailgw.mail.transaction import Transaction

Fields = Mapping[str, Sequence[Field]]

# RFC 5322 3.6, the table's maximum of 1; RFC 2045 3 for those of MIME. From has a symbol of its own.
_MAIL_ONCE = "date sender reply-to to cc bcc message-id in-reply-to references subject"
_MIME_ONCE = "mime-version content-type content-transfer-encoding"
_ONCE = frozenset(f"{_MAIL_ONCE} {_MIME_ONCE}".split())
# RFC 5322 3.6.4. Looser on both sides than its grammar, which many programs that are no spammers do not keep.
_MESSAGE_ID = re.compile(r"<[^<>\s]+@[^<>\s@]+>(?:\s*\([^()]*\))?")
_MAX_LINE = 998  # RFC 5322 2.1.1


@frozen
class HeaderSanitySettings(FilterSettings):
    future: float = field(
        default=86400.0, metadata={"doc": "Seconds that Date may be ahead of our clock.", "minimum": 0}
    )
    past: float = field(
        default=1209600.0, metadata={"doc": "Seconds that Date may be behind it: mail waits in queues for days."}
    )
    hops: int = field(default=25, metadata={"doc": "Received fields that are still usual."})


class HeaderSanity:
    """States what is wrong with the header section. Weights are small: any of them happens to honest senders."""

    name: ClassVar[str] = "header_sanity"
    symbols: ClassVar[Mapping[str, float]] = {
        "MISSING_FROM": 2.0,
        "MULTIPLE_FROM": 4.0,
        "INVALID_FROM": 2.0,
        "FROM_WITHOUT_SENDER": 1.0,
        "MISSING_DATE": 1.0,
        "INVALID_DATE": 1.0,
        "DATE_IN_FUTURE": 2.0,
        "DATE_IN_PAST": 0.5,
        "MISSING_MESSAGE_ID": 1.0,
        "INVALID_MESSAGE_ID": 0.7,
        "MISSING_SUBJECT": 0.5,
        "EMPTY_SUBJECT": 0.3,
        "MISSING_TO": 0.5,
        "EMPTY_RECIPIENT_FIELD": 0.5,
        "INVALID_REPLY_TO": 0.5,
        "DUPLICATE_FIELDS": 2.0,
        "DUPLICATE_RECEIVED": 1.0,
        "MANY_RECEIVED": 0.5,
        "MALFORMED_HEADER": 2.0,
        "RAW_8BIT_HEADER": 1.0,
        "SPACE_BEFORE_COLON": 1.0,
        "LONG_HEADER_LINE": 0.2,
        "MISSING_MIME_VERSION": 0.5,
    }

    def __init__(self, settings: HeaderSanitySettings, clock: IReactorTime) -> None:
        self.settings = settings
        self._clock = clock

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        if message is None:
            return []
        fields: dict[str, list[Field]] = {}
        for f in message.fields:
            fields.setdefault(f.name.lower(), []).append(f)
        return [
            *_from(fields),
            *self._date(fields, transaction),
            *_message_id(fields, transaction),
            *_subject_and_recipients(fields),
            *_counts(fields, self.settings.hops),
            *_form(fields, message, smtputf8=transaction.envelope.smtputf8),
        ]

    def _date(self, fields: Fields, transaction: Transaction) -> Iterator[Evidence]:
        dates = fields.get("date")
        if not dates:
            # RFC 6409 8.1: a submission server may add Date and Message-ID; a mail program need not.
            if not transaction.client.identity:
                yield Evidence("MISSING_DATE", "no Date (RFC 5322 3.6.1)")
            return
        text = dates[0].text
        seconds = parse_date(text)
        if seconds is None:
            yield Evidence("INVALID_DATE", f"Date is {show(text)}")
            return
        ahead = seconds - self._clock.seconds()
        if ahead > self.settings.future:
            yield Evidence("DATE_IN_FUTURE", f"Date is {_duration(ahead)} ahead")
        elif -ahead > self.settings.past:
            yield Evidence("DATE_IN_PAST", f"Date is {_duration(-ahead)} ago")


def _from(fields: Fields) -> Iterator[Evidence]:
    """RFC 5322 3.6.2."""
    lines = fields.get("from")
    if not lines:
        yield Evidence("MISSING_FROM", "no From (RFC 5322 3.6.2)")
        return
    if len(lines) > 1:
        # Programs differ in which one they show and which one DMARC looks at: the classic way to deceive.
        yield Evidence("MULTIPLE_FROM", f"{len(lines)} From fields")
    text = lines[0].text
    addresses = find_addresses(text)
    if not addresses:
        yield Evidence("INVALID_FROM", f"no address in From: {show(text)}")
    elif len(addresses) > 1 and "sender" not in fields:
        yield Evidence("FROM_WITHOUT_SENDER", f"{len(addresses)} authors, and no Sender to say who sent it")


def _message_id(fields: Fields, transaction: Transaction) -> Iterator[Evidence]:
    """RFC 5322 3.6.4."""
    ids = fields.get("message-id")
    if not ids:
        if not transaction.client.identity:
            yield Evidence("MISSING_MESSAGE_ID", "no Message-ID (RFC 5322 3.6.4)")
    elif not _MESSAGE_ID.fullmatch(ids[0].text):
        yield Evidence("INVALID_MESSAGE_ID", f"Message-ID is {show(ids[0].text)}")


def _subject_and_recipients(fields: Fields) -> Iterator[Evidence]:
    subject = fields.get("subject")
    if not subject:
        yield Evidence("MISSING_SUBJECT", "no Subject")
    elif not subject[0].value:
        yield Evidence("EMPTY_SUBJECT", "Subject is empty")
    recipients = [f for name in ("to", "cc", "bcc") for f in fields.get(name, ())]
    if not recipients:
        yield Evidence("MISSING_TO", "no To, Cc or Bcc")
    else:
        # RFC 5322 3.6.3: only Bcc may be empty. `undisclosed-recipients:;` is a group, and right.
        empty = [f.name for f in recipients if f.name.lower() != "bcc" and not f.value]
        if empty:
            yield Evidence("EMPTY_RECIPIENT_FIELD", f"empty: {', '.join(empty[:3])}")
    reply_to = fields.get("reply-to")
    if reply_to and not find_addresses(reply_to[0].text):
        yield Evidence("INVALID_REPLY_TO", f"no address in Reply-To: {show(reply_to[0].text)}")


def _counts(fields: Fields, hops: int) -> Iterator[Evidence]:
    twice = sorted(name for name, found in fields.items() if len(found) > 1 and name in _ONCE)
    if twice:
        yield Evidence("DUPLICATE_FIELDS", f"more than once (RFC 5322 3.6): {', '.join(twice)}")
    received = fields.get("received", ())
    if len(received) > hops:
        yield Evidence("MANY_RECEIVED", f"{len(received)} Received fields")
    # Each hop has its own id and time: the same field twice is a forgery, or a loop without a mind.
    if len(received) > 1 and len({f.value for f in received}) < len(received):
        yield Evidence("DUPLICATE_RECEIVED", "the same Received field twice")


def _form(fields: Fields, message: Message, *, smtputf8: bool) -> Iterator[Evidence]:
    if message.malformed_header:
        yield Evidence("MALFORMED_HEADER", "lines in the header section that are no fields (RFC 5322 2.2)")
    if not smtputf8 and not message.head.isascii():
        # RFC 6532 3: only with SMTPUTF8.
        names = [f.name for f in message.fields if not f.raw.isascii()]
        yield Evidence("RAW_8BIT_HEADER", f"octets above 127 in {', '.join(names[:3]) or 'the header section'}")
    spaced = [f.name for f in message.fields if f.raw[len(f.name)] != 58]
    if spaced:  # RFC 5322 4.5: obsolete since 2001, and read differently by those who check and those who show
        yield Evidence("SPACE_BEFORE_COLON", f"space before the colon of {', '.join(spaced[:3])}")
    if any(len(f.raw) > _MAX_LINE and max(map(len, f.raw.split(b"\r\n"))) > _MAX_LINE for f in message.fields):
        yield Evidence("LONG_HEADER_LINE", "a line of more than 998 octets (RFC 5322 2.1.1)")
    if "mime-version" not in fields and "content-type" in fields:
        kind = fields["content-type"][0].text
        if kind[:10].lower() == "multipart/":
            yield Evidence("MISSING_MIME_VERSION", "multipart without MIME-Version (RFC 2045 4)")


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"
