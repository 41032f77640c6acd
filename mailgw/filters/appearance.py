"""Appearance: what a reader sees of the message, against what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mailgw.filters.anatomy import Anatomies, Anatomy
from mailgw.filters.base import FilterSettings
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Transaction

# Senders of newsletters hide a line or two, which programs show beside the subject.
_MIN_HIDDEN = 400
_LITTLE_TEXT = 60


class Appearance:
    """States text that is hidden from the reader, mail that is only a picture or only a link, and forms that ask for a
    password."""

    name: ClassVar[str] = "appearance"
    symbols: ClassVar[Mapping[str, float]] = {
        "HIDDEN_TEXT": 2.0,
        "IMAGE_ONLY": 1.0,
        "LINK_ONLY": 0.7,
        "PASSWORD_FORM": 3.0,
    }

    def __init__(self, settings: FilterSettings, anatomies: Anatomies) -> None:
        self.settings = settings
        self._anatomies = anatomies

    async def check(self, transaction: Transaction) -> list[Evidence]:
        return list(_check(await self._anatomies.of(transaction)))


def _check(anatomy: Anatomy) -> Iterator[Evidence]:
    pages = [found.html for found in anatomy.texts if found.html is not None and not found.part.filename]
    hidden = sum(page.hidden for page in pages)
    if hidden >= _MIN_HIDDEN:
        share = hidden / max(sum(len(page.text) for page in pages), hidden)
        if share > 0.2:
            yield Evidence("HIDDEN_TEXT", f"{hidden} characters of the page are not shown", min(1.0, 2 * share))
    if any(page.passwords for page in pages):
        yield Evidence("PASSWORD_FORM", "the page asks for a password")
    length = len(anatomy.body)
    images = sum(page.images for page in pages)
    if images and length - hidden < _LITTLE_TEXT:
        yield Evidence("IMAGE_ONLY", f"{images} images and {max(length - hidden, 0)} characters of text")
    shown = [link for link in anatomy.links if link.kind in ("anchor", "text")]
    if shown and len({link.host.name for link in shown}) == 1 and all(not part.filename for part in anatomy.parts):
        rest = length - sum(len(link.shown or link.url) for link in shown)
        if rest < _LITTLE_TEXT:
            yield Evidence("LINK_ONLY", f"a link to {shown[0].host.name}, and {max(rest, 0)} characters around it")
