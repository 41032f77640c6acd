"""MIME sanity: structure and encodings that mail programs do not write, and letters that are not what they seem."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from mailgw.filters.anatomy import Anatomies, Anatomy, TextPart
from mailgw.filters.base import FilterSettings
from mailgw.filters.charset import decode_value, is_charset
from mailgw.filters.letters import hidden_within, mixed_words, overrides
from mailgw.filters.mime import Flaw
from mailgw.filters.text import show
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction

_FLAWS: Mapping[Flaw, tuple[str, str, float]] = {
    "no boundary": ("MIME_NO_BOUNDARY", "a multipart without boundary (RFC 2046 5.1.1)", 1.0),
    "not begun": ("MIME_BROKEN", "a multipart without parts (RFC 2046 5.1.1)", 1.0),
    "not closed": ("MIME_BROKEN", "a multipart that does not end (RFC 2046 5.1.1)", 0.3),
    "encoded": ("MIME_BROKEN", "parts within an encoding (RFC 2045 6.4): few see what is in there", 1.0),
    "too deep": ("MIME_EXCESSIVE", "more levels than are looked at", 1.0),
    "too many parts": ("MIME_EXCESSIVE", "more parts than are looked at", 1.0),
}
# RFC 2045 6.1. uuencode was never registered, and is understood.
_ENCODINGS = frozenset(("", "7bit", "8bit", "binary", "quoted-printable", "base64", "x-uuencode", "uuencode", "x-uue"))
_ENCODED_WORD = re.compile(r"=\?[^?\s]{1,64}\?([bBqQ])\?[^?\s]*\?=")
_MIN_BASE64 = 200
_MAX_LINE = 998  # RFC 5322 2.1.1
_MAX_COMPARED = 20_000
_MIN_WORDS = 20
_MAX_HEADER = 4096


class MimeSanity:
    """States what is odd with the message's structure, encodings and letters. Weights are small where programs err,
    and large where only somebody who hides something writes so."""

    name: ClassVar[str] = "mime_sanity"
    symbols: ClassVar[Mapping[str, float]] = {
        "MIME_NO_BOUNDARY": 2.0,
        "MIME_BROKEN": 1.0,
        "MIME_EXCESSIVE": 2.0,
        "MIME_UNKNOWN_ENCODING": 1.5,
        "MIME_UNKNOWN_CHARSET": 0.5,
        "MIME_NEEDLESS_BASE64": 0.7,
        "MIME_ALTERNATIVES_DIFFER": 1.0,
        "EMPTY_BODY": 0.5,
        "NEEDLESS_ENCODED_WORDS": 0.7,
        "DIRECTION_OVERRIDE": 5.0,
        "HIDDEN_CHARACTERS": 3.0,
        "MIXED_SCRIPTS": 2.0,
    }

    def __init__(self, settings: FilterSettings, anatomies: Anatomies) -> None:
        self.settings = settings
        self._anatomies = anatomies

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        if message is None:
            return []
        return [*_check_header(message), *await self._anatomies.run(transaction, _check_anatomy)]


def _check_anatomy(anatomy: Anatomy) -> list[Evidence]:
    return [*_structure(anatomy), *_encodings(anatomy), *_texts(anatomy)]


def _structure(anatomy: Anatomy) -> Iterator[Evidence]:
    for flaw in anatomy.structure.flaws:
        symbol, detail, strength = _FLAWS[flaw]
        yield Evidence(symbol, detail, strength)
    if not anatomy.body and all(part.size <= 4 and not part.filename for part in anatomy.parts):
        yield Evidence("EMPTY_BODY", "no text and nothing attached")


def _encodings(anatomy: Anatomy) -> Iterator[Evidence]:
    for part in anatomy.parts:
        if part.encoding not in _ENCODINGS:
            yield Evidence("MIME_UNKNOWN_ENCODING", f"Content-Transfer-Encoding is {show(part.encoding)}")
            break
    for found in anatomy.texts:
        if found.part.charset and not is_charset(found.part.charset):
            yield Evidence("MIME_UNKNOWN_CHARSET", f"charset is {show(found.part.charset)}")
            break
    for found in anatomy.texts:
        if _is_needless(found):
            detail = f"{found.part.content_type} in base64 that is ASCII with short lines"
            yield Evidence("MIME_NEEDLESS_BASE64", detail)
            break


def _is_needless(found: TextPart) -> bool:
    """Whether text came in base64 that would have gone as it is: to hide its words from those who do not decode it."""
    part = found.part
    if part.encoding != "base64" or part.size < _MIN_BASE64 or part.filename or not found.text.isascii():
        return False
    # What a page's tags hold may have needed it; and its lines are not known any more.
    return found.html is None and max(map(len, found.text[:_MAX_COMPARED].split("\n"))) <= _MAX_LINE


def _texts(anatomy: Anatomy) -> Iterator[Evidence]:
    plain = next((t for t in anatomy.texts if t.html is None and _in_alternative(t, anatomy)), None)
    page = next((t for t in anatomy.texts if t.html is not None and _in_alternative(t, anatomy)), None)
    if plain and page and plain.part.parent == page.part.parent:
        words, others = _words(plain.text), _words(page.text)
        if min(len(words), len(others)) >= _MIN_WORDS:
            common = len(words & others) / min(len(words), len(others))
            if common < 0.2:
                detail = f"text and HTML of one message have {common:.0%} of their words in common"
                yield Evidence("MIME_ALTERNATIVES_DIFFER", detail)
    if anatomy.body.isascii():
        return
    hidden = hidden_within(anatomy.body)
    if len(hidden) >= 3:
        yield Evidence("HIDDEN_CHARACTERS", f"characters that nobody sees within {len(hidden)} words of the text")
    mixed = mixed_words(anatomy.body)
    if len(mixed) >= 3:
        yield Evidence(
            "MIXED_SCRIPTS", f"letters of several scripts in {show(mixed[0])} and {len(mixed) - 1} more words"
        )


def _in_alternative(found: TextPart, anatomy: Anatomy) -> bool:
    parent = found.part.parent
    return parent >= 0 and anatomy.structure.containers[parent].content_type == "multipart/alternative"


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text[:_MAX_COMPARED].lower()))


def _check_header(message: Message) -> Iterator[Evidence]:
    """Subject and the names in From: what a reader of a list of messages sees."""
    for name in ("Subject", "From"):
        field = message.get(name)
        if field is None:
            continue
        raw = field.value[:_MAX_HEADER]
        if b"=?" not in raw and raw.isascii():
            continue
        text = decode_value(raw)
        if text.isascii():
            words = _ENCODED_WORD.findall(raw.decode("ascii", "replace"))
            if words and "=?" not in text:
                base64 = any(word in "bB" for word in words)
                detail = f"{name} is encoded ({'base64' if base64 else 'quoted-printable'}), and is all ASCII"
                yield Evidence("NEEDLESS_ENCODED_WORDS", detail, 1.0 if base64 else 0.3)
            continue
        if overrides(text):
            yield Evidence("DIRECTION_OVERRIDE", f"{name} turns the direction of its letters: {show(text)}")
        if hidden := hidden_within(text):
            yield Evidence("HIDDEN_CHARACTERS", f"characters that nobody sees within {show(hidden[0])} in {name}")
        if mixed := mixed_words(text):
            yield Evidence("MIXED_SCRIPTS", f"letters of several scripts in {show(mixed[0])} in {name}")
