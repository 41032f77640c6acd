"""How much of a message is looked at, and where; and how its text is shown."""

from __future__ import annotations

from mailgw.mail.message import BytesContent, Content, Message

SCAN_SIZE = 1024 * 1024
"""Octets of a message's text that are looked at (features 4.9). What stands behind them is not."""
INLINE_SIZE = 32 * 1024
"""Octets of a message up to which looking costs less than a thread; larger ones would make the reactor's turn long."""


def beginning(content: Content, size: int = SCAN_SIZE) -> bytes:
    """Give the first octets of a content. Blocks where the content is in a file: run it in a thread then."""
    with content.open() as file:
        return file.read(size)


def is_small(message: Message) -> bool:
    """Whether the message can be looked at here and now: in memory, and soon read."""
    return isinstance(message.content, BytesContent) and message.size <= INLINE_SIZE


def show(text: str, size: int = 60) -> str:
    """Quote text of a message for the detail of evidence: short, one line, without control characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[: size + 1])
    return f'"{shown[:size]}..."' if len(shown) > size else f'"{shown}"'
