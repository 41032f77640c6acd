"""Our keys against what DNS holds."""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.dkim.keys import StoredKey
from mailgw.delivery.dkim.publication import Publication, compare, look_up, zone_line
from mailgw.senderauth.signing_key import SigningKey
from tests.delivery.keys import pem
from tests.fakes import FAIL, FakeResolver


def stored(kind: str, selector: str = "s", number: int = 0) -> StoredKey:
    private = load_pem_private_key(pem(kind, number), None)
    return StoredKey(SigningKey("example.org", selector, private), "active", None, "/s.pem")  # type: ignore[arg-type]


class CompareTests(SynchronousTestCase):
    def status(self, kind: str, *records: str) -> tuple[str, str]:
        found = compare(stored(kind), tuple(record.encode() for record in records))
        return found.status, found.text

    def test_published(self) -> None:
        for kind in ("rsa", "ed25519"):
            record = stored(kind).record
            self.assertEqual(self.status(kind, record), ("published", ""))
            # Space and folds in p=, tags that are not ours, in another order: the same key (RFC 6376 3.2).
            p = record.partition("p=")[2]
            spaced = f"v=DKIM1; n=x; p={p[:20]} {p[20:]} ; h=sha256; s=email; k={kind};"
            self.assertEqual(self.status(kind, spaced), ("published", ""), kind)

    def test_rsa_is_the_default_kind(self) -> None:
        self.assertEqual(self.status("rsa", stored("rsa").record.replace("k=rsa; ", "")), ("published", ""))

    def test_missing_revoked_other(self) -> None:
        self.assertEqual(self.status("rsa")[0], "missing")
        self.assertEqual(self.status("rsa", "v=DKIM1; p=")[0], "revoked")
        self.assertEqual(self.status("rsa", stored("rsa", number=1).record)[0], "other")
        self.assertEqual(self.status("ed25519", stored("ed25519", number=1).record)[0], "other")

    def test_test_mode_is_said(self) -> None:
        status, text = self.status("rsa", stored("rsa").record + "; t=y")
        self.assertEqual(status, "published")
        self.assertIn("t=y", text)

    def test_invalid(self) -> None:
        rsa = stored("rsa").record
        for record, words in (
            ("hello", "not a list"),
            ("", "no p="),
            (rsa.replace("DKIM1", "DKIM2"), "v=DKIM1"),
            (rsa.replace("v=DKIM1; ", "") + "; v=DKIM1", "v=DKIM1"),
            (rsa.replace("k=rsa", "k=ed25519"), "for ed25519"),
            (rsa + "; h=sha1", "sha256"),
            (rsa + "; s=tlsrpt", "mail"),
            (rsa[:100], "cannot be read"),
        ):
            status, text = self.status("rsa", record)
            self.assertEqual(status, "invalid", record)
            self.assertIn(words, text)

    def test_several_records(self) -> None:
        status, text = self.status("rsa", stored("rsa").record, "v=DKIM1; p=")
        self.assertEqual(status, "invalid")
        self.assertIn("2 TXT records", text)


class LookUpTests(SynchronousTestCase):
    def look_up(self, resolver: FakeResolver, *keys: StoredKey) -> tuple[Publication, ...]:
        return self.successResultOf(Deferred.fromCoroutine(look_up(keys, resolver)))

    def test_each_key_under_its_name(self) -> None:
        one, two = stored("rsa", "one"), stored("ed25519", "two")
        resolver = FakeResolver({one.name: {"TXT": [one.record]}})
        self.assertEqual([found.status for found in self.look_up(resolver, one, two)], ["published", "missing"])

    def test_dns_that_does_not_answer_says_nothing_about_the_key(self) -> None:
        one = stored("rsa")
        resolver = FakeResolver({one.name: FAIL})
        (found,) = self.look_up(resolver, one)
        self.assertEqual(found.status, "unknown")


class ZoneTests(SynchronousTestCase):
    def test_a_zone_file_line(self) -> None:
        """RFC 1035 5.1, 3.3.14: strings of at most 255 octets, which are joined without anything between them."""
        for kind in ("rsa", "ed25519"):
            key = stored(kind)
            line = zone_line(key)
            self.assertTrue(line.startswith("s._domainkey.example.org. IN TXT "))
            strings = re.findall(r'"([^"]*)"', line)
            self.assertLessEqual(max(map(len, strings)), 255)
            self.assertEqual("".join(strings), key.record)
            self.assertEqual("(" in line, len(strings) > 1)
