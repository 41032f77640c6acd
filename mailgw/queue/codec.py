"""Items of the queue as rows of its database, and back: nothing that an item holds is lost.

What is only ever read as a whole stands as one JSON array in the column `info` (positions, not names: a third of the
time and the space); what is searched for has a column. A change of these arrays is a new `schema.VERSION`.
"""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import Content, Message
from mailgw.mail.reply import Reply
from mailgw.mail.verdict import Verdict, VerdictLine
from mailgw.queue.item import Delivery, Destination, Priority, QueuedMessage

MessageRow = tuple[str, str, bytes, bytes | None]
"""id, info, prefix, content (None: it is in a file)."""
DeliveryRow = tuple[str, int, float, str, float, int, str, str, int]
"""message_id, number, due, destination, expires, attempts, recipient, last, priority."""

Facts = tuple[str, str, float]
"""sender, identity, received: of the message, in each of its deliveries, so that a search need not read messages."""
NewDeliveryRow = tuple[str, int, float, str, float, int, str, str, int, str, str, float]
"""A delivery with its facts."""

# ASCII output: a lone surrogate has no UTF-8 form, SQLite would refuse it; as an escape it comes back as it was.
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_line_values = attrgetter("symbol", "detail", "source", "weight", "strength", "points", "total", "rule")


def encode_message(queued: QueuedMessage) -> tuple[str, bytes]:
    """Give `info` and `prefix`; the content and the head of a content file have their own places."""
    envelope = queued.envelope
    message = queued.message
    info = (
        queued.received,
        queued.origin,
        queued.session_id,
        queued.identity,
        _mailbox_values(envelope.reverse_path),
        [_recipient_values(recipient) for recipient in envelope.recipients],
        envelope.body,
        envelope.smtputf8,
        envelope.ret,
        envelope.envid,
        envelope.requiretls,
        message.cuts,
        None if queued.verdict is None else _verdict_values(queued.verdict),
        queued.author_domain,
    )
    return _encode(info), message.prefix


def decode_message(message_id: str, info: str, prefix: bytes, content: Content, head: bytes) -> QueuedMessage:
    """Undo `encode_message`. Raises ValueError, TypeError or IndexError when the row is not one of ours."""
    (
        received,
        origin,
        session_id,
        identity,
        reverse_path,
        recipients,
        body,
        smtputf8,
        ret,
        envid,
        requiretls,
        cuts,
        verdict,
        *added,
    ) = json.loads(info)
    return QueuedMessage(
        id=message_id,
        envelope=Envelope(
            reverse_path=None if reverse_path is None else Mailbox(*reverse_path),
            recipients=tuple(_recipient(values) for values in recipients),
            body=body,
            smtputf8=smtputf8,
            ret=ret,
            envid=envid,
            requiretls=requiretls,
        ),
        message=Message(content, head, prefix, tuple((start, end) for start, end in cuts)),
        received=received,
        origin=origin,
        session_id=session_id,
        identity=identity,
        verdict=None if verdict is None else _verdict(verdict),
        author_domain=added[0] if added else "",  # version 1 had none
    )


def encode_delivery(delivery: Delivery) -> DeliveryRow:
    return (
        delivery.message_id,
        delivery.number,
        delivery.due,
        str(delivery.destination),
        delivery.expires,
        delivery.attempts,
        _encode(_recipient_values(delivery.recipient)),
        # What a remote said may hold anything; it is for people, and must not keep the outcome from being written.
        _sayable(delivery.last),
        delivery.priority.value,
    )


def encode_facts(queued: QueuedMessage) -> Facts:
    return (_sayable(str(queued.envelope.reverse_path or "<>")), _sayable(queued.identity), queued.received)


def decode_delivery(row: DeliveryRow) -> Delivery:
    """Undo `encode_delivery`. Raises ValueError, TypeError or IndexError when the row is not one of ours."""
    message_id, number, due, destination, expires, attempts, recipient, last, priority = row
    return Delivery(
        message_id=message_id,
        number=number,
        recipient=decode_recipient(recipient),
        destination=Destination.parse(destination),
        due=due,
        expires=expires,
        attempts=attempts,
        last=last,
        priority=Priority(priority),
    )


def decode_recipient(text: str) -> Recipient:
    """Read the column. Raises ValueError, TypeError or IndexError when it is not one of ours."""
    return _recipient(json.loads(text))


def _sayable(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


def _mailbox_values(mailbox: Mailbox | None) -> tuple[str, str] | None:
    return None if mailbox is None else (mailbox.local_part, mailbox.domain)


def _recipient_values(recipient: Recipient) -> tuple[Any, ...]:
    mailbox = recipient.forward_path
    if not recipient.orcpt and not recipient.notify:
        return (mailbox.local_part, mailbox.domain)
    return (mailbox.local_part, mailbox.domain, recipient.orcpt, sorted(recipient.notify))


def _recipient(values: list[Any]) -> Recipient:
    if len(values) == 2:
        return Recipient(Mailbox(values[0], values[1]))
    local_part, domain, orcpt, notify = values
    return Recipient(Mailbox(local_part, domain), orcpt, frozenset(notify))


def _verdict_values(verdict: Verdict) -> tuple[Any, ...]:
    reply = verdict.reply
    return (
        verdict.action,
        verdict.score,
        [_line_values(line) for line in verdict.lines],
        verdict.reason,
        None if reply is None else (reply.code, reply.status, reply.lines, reply.close),
    )


def _verdict(values: list[Any]) -> Verdict:
    action, score, lines, reason, reply = values
    return Verdict(
        action,
        score,
        tuple(VerdictLine(*line) for line in lines),
        reason,
        None if reply is None else Reply(reply[0], reply[1], tuple(reply[2]), reply[3]),
    )
