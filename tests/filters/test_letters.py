"""Letters and domains that deceive, and those that only look as if."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.letters import hidden_within, in_latin, mixed_words, overrides, skeleton
from mailgw.filters.lookalikes import Lookalikes


class LetterTests(SynchronousTestCase):
    def test_words_of_two_scripts(self) -> None:
        for text, words in (
            ("Your pаssword", ["pаssword"]),  # noqa: RUF001  Cyrillic
            ("Привет, Ann", []),
            ("SQL-запрос", []),
            ("5 μm and kΩ", []),
            ("naïve café", []),
            ("日本のmail", []),
        ):
            self.assertEqual(mixed_words(text), words, text)

    def test_characters_that_nobody_sees(self) -> None:
        self.assertEqual(hidden_within("pay\u200bpal and mail"), ["pay\u200bpal"])
        self.assertEqual(hidden_within("a \u200b b, Auf\u00adlage, \u06a9\u200c\u0627"), [])

    def test_direction(self) -> None:
        self.assertTrue(overrides("a\u202eb"))
        self.assertFalse(overrides("\u200f\u05e9\u05dc\u05d5\u05dd"))

    def test_what_a_text_looks_like(self) -> None:
        self.assertEqual(in_latin("Ваnk Müller"), "Bank Muller")  # noqa: RUF001  Cyrillic
        self.assertEqual(skeleton("rnicr0soft"), skeleton("microsoft"))
        self.assertNotEqual(skeleton("amazon"), skeleton("almond"))

    def test_long_words_cost_little(self) -> None:
        for text in ("а" * 500_000, "a\u200b" * 250_000, "aа" * 250_000):  # noqa: RUF001  Cyrillic
            before = time.process_time()
            mixed_words(text)
            hidden_within(text)
            self.assertLess(time.process_time() - before, 0.3)


class LookalikeTests(SynchronousTestCase):
    def test_what_looks_like_what(self) -> None:
        lookalikes = Lookalikes(["example.org", "microsoft.com", "ups.com"])
        for name, imitated in (
            ("example.org", ""),
            ("mail.example.org", ""),
            ("example.com", ""),
            ("www.microsoft.co.uk", ""),
            ("examp1e.org", "example.org"),
            ("exarnple.net", "example.org"),
            ("exampel.com", "example.org"),
            ("exmple.org", "example.org"),
            ("examples.org", "example.org"),
            ("example.org.evil.example", "example.org"),
            ("login.microsoft.com.evil.example", "microsoft.com"),
            ("rnicrosoft.com", "microsoft.com"),
            ("vps.com", ""),
            ("sample.org", ""),
            ("192.0.2.1", ""),
            ("", ""),
        ):
            self.assertEqual(lookalikes.find(name), imitated, name)
