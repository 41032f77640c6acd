"""Features: the same content gives the same slots, other content gives others."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier import features
from mailgw.classifier.features import find_words, letter_slots, route_slots, single_hashes, word_slots

Slots = Callable[[bytes], features.Slots]


def word_slots_of(octets: bytes) -> features.Slots:
    return word_slots(find_words(octets))


class GramTests(SynchronousTestCase):
    def test_as_many_features_as_there_are_different_grams(self) -> None:
        text = b"abcdefghabcdefgh"
        self.assertEqual(len(route_slots(text)), len({text[n : n + 4] for n in range(len(text) - 3)}))
        self.assertEqual(len(letter_slots(text)), len({text[n : n + 5] for n in range(len(text) - 4)}))

    def test_texts_shorter_than_a_gram_have_none(self) -> None:
        for size in range(4):
            self.assertEqual(len(route_slots(b"x" * size)), 0)
            self.assertEqual(len(letter_slots(b"x" * (size + 1))), 0)

    def test_one_gram_has_its_slot_wherever_it_stands(self) -> None:
        for slots, gram in ((route_slots, b"free"), (letter_slots, b"cheap")):
            alone = slots(gram).tolist()
            self.assertIn(alone[0], slots(b"a very " + gram + b" offer").tolist())
            self.assertNotIn(alone[0], slots(b"a very dear offer").tolist())

    def test_every_octet_of_a_gram_counts(self) -> None:
        for slots, gram in ((route_slots, b"free"), (letter_slots, b"cheap")):
            changed = [gram[:n] + b"#" + gram[n + 1 :] for n in range(len(gram))]
            self.assertEqual(len({slots(text).tolist()[0] for text in (gram, *changed)}), len(gram) + 1)

    def test_random_grams_fill_the_table_evenly(self) -> None:
        texts = "".join(f"{n:06d}" for n in range(50_000)).encode()
        slots = letter_slots(texts)
        quarters = [((slots >> (features.BITS - 2)) == n).mean() for n in range(4)]
        for share in quarters:
            self.assertLess(abs(share - 0.25), 0.01)


class WordTests(SynchronousTestCase):
    def words(self, octets: bytes) -> list[bytes]:
        found = find_words(octets)
        return [octets[start:end] for start, end in zip(found.starts, found.ends, strict=True)]

    def test_words(self) -> None:
        self.assertEqual(
            self.words(b"Win $1,000 -- don't wait, Gr\xc3\xbc\xc3\x9fe!"),
            [b"Win", b"$1", b"000", b"--", b"don't", b"wait", b"Gr\xc3\xbc\xc3\x9fe"],
        )
        for nothing in (b"", b" ", b"., !"):
            self.assertEqual(self.words(nothing), [])
            self.assertEqual(len(word_slots_of(nothing)), 0)

    def test_case_does_not_matter(self) -> None:
        self.assertEqual(word_slots_of(b"Free OFFER").tolist(), word_slots_of(b"free offer").tolist())

    def test_a_word_has_one_hash_wherever_it_stands(self) -> None:
        hashes = single_hashes(find_words(b"offer of an offer")).tolist()
        self.assertEqual(hashes[0], hashes[3])
        self.assertEqual(len(set(hashes)), 3)

    def test_pairs_know_order_and_distance(self) -> None:
        # Of two words: each alone, and the pair.
        self.assertEqual(len(word_slots_of(b"free offer")), 3)
        self.assertNotEqual(word_slots_of(b"free offer").tolist(), word_slots_of(b"offer free").tolist())
        near, far = set(word_slots_of(b"free offer x").tolist()), set(word_slots_of(b"free x offer").tolist())
        self.assertEqual(len(near & far), 3)  # free, offer, x: no pair is the same

    @given(st.lists(st.text("ab", min_size=1, max_size=4), max_size=20))
    def test_features_are_the_words_and_pairs_of_the_text(self, words: list[str]) -> None:
        pairs = {(a, b, d) for d in (1, 2) for a, b in zip(words, words[d:], strict=False)}
        self.assertEqual(len(word_slots_of(" ".join(words).encode())), len(set(words)) + len(pairs))
