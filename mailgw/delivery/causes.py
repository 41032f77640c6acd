"""Why a delivery failed, in words for the sender of the message."""

from __future__ import annotations

import re

from attrs import frozen

from mailgw.queue.item import Failed


@frozen
class Cause:
    """`what` happened, and `action`: who can do what about it."""

    what: str
    action: str


_UNKNOWN = Cause(
    "There is no such mailbox.",
    "Check the part of the address before the @. If it looks right, ask the recipient for the address in use now.",
)
_MOVED = Cause("The recipient has moved, and left no new address.", "Ask the recipient for the address in use now.")
_DISABLED = Cause(
    "The mailbox does not take messages at present.", "Only the recipient, or who runs that mailbox, can change it."
)
_FULL = Cause(
    "The recipient's mailbox is full.",
    "Tell the recipient in another way. Send the message again when there is room.",
)
_NO_HOST = Cause(
    "The domain of the address does not exist, or has no mail server.",
    "Check the part of the address behind the @.",
)
_NULL_MX = Cause("The domain of the address declares that it takes no mail.", "Ask the recipient for another address.")
_TOO_LARGE = Cause(
    "The message is larger than the recipient's system takes.",
    "Send it with smaller attachments, or give a link to them.",
)
_POLICY = Cause(
    "The recipient's system refuses the message: its content, its sender, or where it comes from.",
    "Read what it said. Your postmaster can help when it is about our server; otherwise only the recipient's can.",
)
_AUTHENTICATION = Cause(
    "The recipient's system could not verify that the message comes from its sender's domain.",
    "Your postmaster can mend it (SPF, DKIM and DMARC of your domain).",
)
_TLS = Cause(
    "The connection to the recipient's system could not be made secure, as it has to be.",
    "Your postmaster can find out why.",
)
_TIME = Cause(
    "The message could not be delivered in the time that we try it.",
    "Send it again later, or reach the recipient in another way. Your postmaster can find out more.",
)
_NETWORK = Cause(
    "The recipient's system could not be reached.",
    "Send it again later, or reach the recipient in another way.",
)
_LOOP = Cause(
    "The message goes in a circle between mail servers.", "Tell the recipient's postmaster: an address leads back."
)
_TOO_MANY = Cause("The message has more recipients than are allowed at once.", "Send it to fewer at a time.")
_EIGHT_BIT = Cause(
    "The message holds characters that the recipient's system cannot take.",
    "Send it without attachments or characters beyond plain English, or reach the recipient in another way.",
)
_ADDRESS = Cause("The recipient's system does not accept the address as written.", "Check the address.")
_OTHER = Cause("The recipient's system refuses the message.", "Read what it said; your postmaster can help.")

# RFC 3463 and the IANA registry of enhanced status codes; the class (4 or 5) makes no difference here.
_BY_STATUS = {
    "1.1": _UNKNOWN,
    "1.2": _NO_HOST,
    "1.3": _ADDRESS,
    "1.6": _MOVED,
    "1.10": _NULL_MX,
    "2.1": _DISABLED,
    "2.2": _FULL,
    "2.3": _TOO_LARGE,
    "3.4": _TOO_LARGE,
    "4.4": _NO_HOST,
    "4.6": _LOOP,
    "4.7": _TIME,
    "5.3": _TOO_MANY,
    "6.3": _EIGHT_BIT,
    "6.7": _EIGHT_BIT,
    "6.9": _EIGHT_BIT,
    "7.4": _TLS,
    "7.5": _TLS,
    "7.10": _TLS,
    "7.30": _TLS,
    "7.27": _NULL_MX,
    **{f"7.{number}": _AUTHENTICATION for number in (20, 21, 22, 23, 24, 26)},
}
_BY_SUBJECT = {"1": _ADDRESS, "4": _NETWORK, "7": _POLICY}
# Servers that give no status, or 5.0.0, still say it in words. Bounded patterns, tried on the first KiB.
_BY_TEXT = tuple(
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"(user|mailbox|recipient|account) .{0,20}(unknown|not found|exist)|no such|unknown user", _UNKNOWN),
        (r"(mailbox|quota).{0,20}(full|exceeded)|over ?quota", _FULL),
        (r"too (large|big)|size .{0,20}(limit|exceed)", _TOO_LARGE),
        (r"spam|virus|malware|block(ed|list)|blacklist|policy|reputation|content", _POLICY),
        (r"starttls|\btls\b", _TLS),
    )
)


def cause_of(failure: Failed) -> Cause:
    """Find the words for a failure: by its status, by its text, by the status's subject."""
    detail = failure.status.partition(".")[2]
    if detail in _BY_STATUS:
        return _BY_STATUS[detail]
    if failure.reply is not None:
        text = failure.reply.text[:1024]
        for pattern, cause in _BY_TEXT:
            if pattern.search(text):
                return cause
    return _BY_SUBJECT.get(detail.partition(".")[0], _OTHER)
