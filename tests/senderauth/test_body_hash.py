"""The body hash in pieces equals dkimpy's over the whole."""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
import re
import time

from dkim.canonicalization import Relaxed, Simple
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.senderauth.body_hash import BodyHash


def hash_in_pieces(body: bytes, relaxed: bool, cuts: list[int]) -> tuple[bytes, int, int]:
    """Give the digest, the length, and the most octets held between pieces."""
    body_hash = BodyHash(relaxed)
    most = 0
    positions = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in itertools.pairwise(positions):
        body_hash.update(body[start:end])
        most = max(most, len(body_hash._rest))
    return (*body_hash.finish(), most)


lines = st.lists(st.text("a \t", max_size=6).map(str.encode), max_size=8).map(
    lambda x: b"".join(n + b"\r\n" for n in x)
)


class BodyHashTests(SynchronousTestCase):
    def test_empty_bodies(self) -> None:
        """RFC 6376 3.4.3 and 3.4.4 give these hashes."""
        simple, _, _ = hash_in_pieces(b"", False, [])
        self.assertEqual(base64.b64encode(simple), b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=")
        relaxed, _, _ = hash_in_pieces(b"", True, [])
        self.assertEqual(base64.b64encode(relaxed), b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
        self.assertEqual(hash_in_pieces(b"\r\n\r\n", False, [1, 3])[0], simple)
        self.assertEqual(hash_in_pieces(b" \r\n\t\r\n", True, [1, 3])[0], relaxed)

    def test_example_of_rfc_6376(self) -> None:
        """RFC 6376 3.4.5."""
        body = b" C \r\nD \t E\r\n\r\n\r\n"
        self.assertEqual(hash_in_pieces(body, True, [])[:2], (hashlib.sha256(b" C\r\nD E\r\n").digest(), 9))
        self.assertEqual(hash_in_pieces(body, False, [])[:2], (hashlib.sha256(b" C \r\nD \t E\r\n").digest(), 12))

    @settings(max_examples=300, deadline=None)
    @given(lines, st.lists(st.integers(0, 100), max_size=6))
    def test_any_pieces(self, body: bytes, cuts: list[int]) -> None:
        for relaxed, theirs in ((False, Simple), (True, Relaxed)):
            expected = theirs.canonicalize_body(body)
            digest, length, most = hash_in_pieces(body, relaxed, cuts)
            self.assertEqual((digest, length), (hashlib.sha256(expected).digest(), len(expected)))
            self.assertLessEqual(most, 2)

    @settings(max_examples=300, deadline=None)
    @given(st.text("a \t\r\n", max_size=30).map(str.encode), st.lists(st.integers(0, 30), max_size=6))
    def test_lone_cr_and_lf_do_not_depend_on_pieces(self, body: bytes, cuts: list[int]) -> None:
        for relaxed in (False, True):
            self.assertEqual(hash_in_pieces(body, relaxed, cuts)[:2], hash_in_pieces(body, relaxed, [])[:2])

    def test_much_space_takes_linear_time_and_no_memory(self) -> None:
        chunk = b" " * 65536
        for chunks in (
            [chunk] * 50,
            [b"a" + chunk] * 50,
            [b"\r\n" * 32768] * 50 + [b"a"],
            [b" \t" * 32768 + b"a"] * 50,
        ):
            for relaxed in (False, True):
                body_hash = BodyHash(relaxed)
                before = time.process_time()
                for piece in chunks:
                    body_hash.update(piece)
                    if relaxed:
                        self.assertLessEqual(len(body_hash._rest), 2)
                body_hash.finish()
                self.assertLess(time.process_time() - before, 2.0)

    def test_random_bodies(self) -> None:
        rng = random.Random(1)
        for _ in range(200):
            body = (
                b"".join(rng.choice([b"a", b"b ", b"\t", b"  ", b"\r\n"]) for _ in range(rng.randrange(60))) + b"\r\n"
            )
            expected = Relaxed.canonicalize_body(body)
            cuts = [rng.randrange(200) for _ in range(rng.randrange(8))]
            self.assertEqual(hash_in_pieces(body, True, cuts)[0], hashlib.sha256(expected).digest(), body)
            self.assertIsNone(re.search(rb"[ \t]\r\n", expected))
