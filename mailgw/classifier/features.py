"""Features: what stands in a sample, hashed to slots of the tables of weights.

A change here that moves a feature to another slot makes every learned model void: raise VERSION with it.
"""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from mailgw.classifier.sample import Sample

VERSION = 1
BITS = 22
SLOTS = 1 << BITS
"""Of each view's table. With 2**20, the messages of two corpora already got into each other's way."""

Slots = NDArray[np.uint32]
Array = NDArray[np.uint32]

_SHIFT = np.uint32(32 - BITS)
_ONE, _TWO, _FIRST, _SECOND = (np.uint32(n) for n in (0x85EBCA6B, 0xC2B2AE35, 0x9E3779B1, 0x27D4EB2F))
_15, _16 = np.uint32(15), np.uint32(16)

_WINDOW = 3
"""Words that a word is paired with: itself alone, the next, and the one after it."""


@frozen
class Words:
    """The words of a text: where each starts and ends, and its hash."""

    octets: bytes
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    hashes: Array


def route_slots(octets: bytes) -> Slots:
    """Give the slots of the 4-grams of octets, each once."""
    return _once(_mixed(_grams(octets, len(octets) - 3)))


def letter_slots(octets: bytes) -> Slots:
    """Give the slots of the 5-grams of octets, each once."""
    count = len(octets) - 4
    grams = _grams(octets, count)
    if count > 0:
        grams *= _ONE
        grams ^= grams >> _15
        grams += np.frombuffer(octets, np.uint8)[4:] * _FIRST
    return _once(_mixed(grams))


def word_slots(words: Words) -> Slots:
    """Give the slots of words and of pairs with one of the next words, each once."""
    hashes = words.hashes
    features = [single_hashes(words)]
    for distance in range(1, min(_WINDOW, len(hashes))):
        pairs = hashes[:-distance] * _FIRST
        pairs += hashes[distance:]
        pairs *= _SECOND + np.uint32(2 * distance)
        features.append(_mixed(pairs))
    return _once(np.concatenate(features))


def single_hashes(words: Words) -> Array:
    """Give the hash of each word standing alone, in their order."""
    return _mixed(words.hashes * _TWO)


def to_slots(hashes: Array) -> Slots:
    return hashes >> _SHIFT


def all_slots(sample: Sample) -> tuple[Slots, ...]:
    """Give the slots of each view, in the order of `model.VIEWS`."""
    letter = b"\n\n".join((sample.fields, b"\n".join((sample.text, sample.urls))))
    return route_slots(sample.route), letter_slots(letter), word_slots(find_words(word_text(sample)))


def word_text(sample: Sample) -> bytes:
    """Give what words are taken from."""
    return b"\n".join((sample.subject, sample.text, sample.urls))


def _word_table() -> NDArray[np.uint8]:
    """What a character is in a word: itself in lower case; 0 where it stands in none. All above ASCII are."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        if code > 127 or chr(code).isalnum() or chr(code) in "$'-":
            table[code] = ord(chr(code).lower()) if code < 128 else code
    return table


def _powers(count: int) -> Array:
    powers = np.empty(count, np.uint32)
    power = 1
    for n in range(count):
        powers[n] = power
        power = power * 0x01000193 & 0xFFFFFFFF
    return powers


_LETTERS = _word_table()
_MOST_LETTERS = 1 << 14
_POWERS = _powers(_MOST_LETTERS)


def find_words(octets: bytes) -> Words:
    """Find the words of a text of at most _MOST_LETTERS octets; what is longer is cut."""
    octets = octets[:_MOST_LETTERS]
    letters = _LETTERS[np.frombuffer(octets, np.uint8)]
    inside = np.zeros(len(letters) + 2, np.bool_)
    np.not_equal(letters, 0, out=inside[1:-1])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[0::2], edges[1::2]
    # A polynomial over each word, out of one running sum: letter times power of its place in the word.
    places = np.arange(len(letters))
    places -= _origins(starts, len(letters))
    sums = np.zeros(len(letters) + 1, np.uint32)
    np.cumsum(letters * _POWERS[places], out=sums[1:], dtype=np.uint32)
    hashes = sums[ends] - sums[starts]
    hashes ^= hashes >> _16
    hashes *= _ONE
    hashes ^= hashes >> _15
    return Words(octets, starts, ends, hashes)


def _origins(starts: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Give for each octet where the word before or around it starts; 0 before the first."""
    bounds = np.concatenate(([0], starts, [length]))
    return np.repeat(bounds[:-1], np.diff(bounds))


def _grams(octets: bytes, count: int) -> Array:
    """Give the four octets from each of the first `count` places on, as numbers (native order: of this machine)."""
    if count <= 0:
        return np.empty(0, np.uint32)
    return np.ndarray((count,), "<u4", octets, 0, (1,)).astype(np.uint32)


def _mixed(hashes: Array) -> Array:
    """Mix bits, so that the upper ones depend on all; in place."""
    hashes *= _ONE
    hashes ^= hashes >> _15
    hashes *= _TWO
    hashes ^= hashes >> _16
    hashes *= _SECOND
    return hashes


def _once(hashes: Array) -> Slots:
    """Give the slots of hashes, each once, ascending. np.unique takes twenty times as long."""
    slots = hashes >> _SHIFT
    if len(slots) < 2:
        return slots
    slots.sort()
    first = np.empty(len(slots), np.bool_)
    first[0] = True
    np.not_equal(slots[1:], slots[:-1], out=first[1:])
    return slots[first]
