"""Samples for the tests of the classifier."""

from __future__ import annotations

from mailgw.classifier.sample import Sample
from mailgw.filters.sampling import read_sample

HAM_WORDS = ("meeting", "budget", "review", "monday", "agenda", "minutes", "project", "schedule", "lunch", "report")
SPAM_WORDS = ("pills", "casino", "winner", "cheap", "lottery", "viagra", "free", "unlimited", "offer", "jackpot")


def message(number: int, *, spam: bool) -> bytes:
    """A message like no other, of one kind."""
    words = SPAM_WORDS if spam else HAM_WORDS
    text = " ".join(words[(number * step + step) % 10] for step in (1, 3, 7, 9, 11))
    sender = "win@prizes.example" if spam else "ann@office.example"
    return (
        f"From: {sender}\nTo: bob@example.org\nSubject: {words[number % 10]} {number}\n"
        f"Message-ID: <{number}@example>\n\n{text}\nnumber {number}\n"
    ).encode()


def sample(number: int, *, spam: bool) -> Sample:
    return read_sample(message(number, spam=spam))
