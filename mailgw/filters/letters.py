"""Letters that deceive: hidden ones, reordered ones, and those of one script that look like another's."""

# ruff: noqa: RUF001  (letters that look alike are the matter)

from __future__ import annotations

import re
import unicodedata
from itertools import islice

MAX_WORDS = 100
"""Words that are found in a text."""
_AROUND = 30

# UAX 9: overrides of the direction. (Embeddings and isolates stand in honest text of two directions.)
_OVERRIDES = re.compile("[\u202d\u202e]")
# Characters without width. Not the soft hyphen, which separates honest syllables.
_WIDTHLESS = "\u200b-\u200d\u2060-\u2064\u034f\ufeff\u180e"
_HIDDEN = re.compile(f"[A-Za-z][{_WIDTHLESS}]+[A-Za-z]")

# Letters that look like Latin ones, with those: the part of UTS 39's table that is used to deceive.
_CYRILLIC = "аa еe оo рp сc уy хx іi јj ѕs ԁd һh ӏl ԛq ԝw АA ВB ЕE ЅS ІI ЈJ КK МM НH ОO РP СC ТT УY ХX"
_GREEK = "οo νv ρp υu ιi αa ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX"
_OTHERS = "օo ոn սu ɑa ɡg ıi ꞓc ᴏo ᴠv ᴡw ᴢz"
_PAIRS = f"{_CYRILLIC} {_GREEK} {_OTHERS}".split()
_LOOKS = str.maketrans({pair[0]: pair[1] for pair in _PAIRS})
_ALIKE = "".join(pair[0] for pair in _PAIRS)
_MIXED = re.compile(f"[A-Za-z][{_ALIKE}]|[{_ALIKE}][A-Za-z]")
_WORD_BEFORE = re.compile(rf"[\w{_WIDTHLESS}]*\Z")
_WORD = re.compile(rf"[\w{_WIDTHLESS}]*")

# In Latin letters and digits, what is taken for what.
_DIGITS = str.maketrans("0135", "oles")
_SHAPES = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("i", "l"), ("j", "l"))


def overrides(text: str) -> bool:
    """Whether a text turns the direction in which its letters are shown."""
    return bool(_OVERRIDES.search(text))


def hidden_within(text: str) -> list[str]:
    """Give the words in Latin letters with characters within that nobody sees; at most MAX_WORDS."""
    return _words_at(_HIDDEN, text)


def mixed_words(text: str) -> list[str]:
    """Give the words that mix Latin letters with such of another script that look Latin; at most MAX_WORDS."""
    return _words_at(_MIXED, text)


def _words_at(pattern: re.Pattern[str], text: str) -> list[str]:
    """Give the words around what a pattern finds, each once."""
    if text.isascii():
        return []
    found: dict[str, None] = {}
    for match in islice(pattern.finditer(text), 10 * MAX_WORDS):
        before = _WORD_BEFORE.search(text[max(match.start() - _AROUND, 0) : match.start()])
        behind = _WORD.match(text, match.end(), match.end() + _AROUND)
        found[f"{before.group() if before else ''}{match.group()}{behind.group() if behind else ''}"] = None
        if len(found) >= MAX_WORDS:
            break
    return list(found)


def in_latin(text: str) -> str:
    """Give a text as it looks: letters of other scripts as the Latin ones that they imitate, without accents."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_LOOKS))
    return "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Cf"))


def skeleton(text: str) -> str:
    """Give what remains of a name when all that look alike are made the same: two names of one skeleton are taken for
    each other. `text` is in U-labels."""
    shape = in_latin(text).lower().translate(_DIGITS)
    for shown, meant in _SHAPES:
        shape = shape.replace(shown, meant)
    return shape
