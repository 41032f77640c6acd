"""Who goes first: people's mail, before what is sent to many and before reports."""

from __future__ import annotations

from mailgw.mail.envelope import Envelope
from mailgw.mail.message import Message
from mailgw.queue.item import Priority

# Lists say so themselves: RFC 2919, RFC 2369, and what was in use before them.
_OF_LISTS = frozenset({"list-id", "list-unsubscribe", "list-post"})
_PRECEDENCES = frozenset({b"bulk", b"list", b"junk"})


def priority_of(envelope: Envelope, message: Message, bulk_recipients: int) -> Priority:
    """Give the priority of a message: BULK for a report (it has no return path), for what a list sent, and for what
    has `bulk_recipients` recipients or more."""
    if envelope.reverse_path is None or len(envelope.recipients) >= bulk_recipients:
        return Priority.BULK
    for field in message.fields:
        key = field.key
        if key in _OF_LISTS or (key == "precedence" and field.value.lower() in _PRECEDENCES):
            return Priority.BULK
    return Priority.PEOPLE


def room_for(priority: Priority, size: int, people: int, bulk: int) -> int:
    """Give how much of something of which there are `size` is free for that priority, when so much is taken by each.

    An eighth is kept for people, and a sixteenth for the rest, as far as they have not taken so much.
    """
    free = size - people - bulk
    if priority is Priority.PEOPLE:
        return free - max(0, size // 16 - bulk)
    return free - max(0, size // 8 - people)
