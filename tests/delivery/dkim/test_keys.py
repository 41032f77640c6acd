"""Keys in files: what is read, what is refused, and which of them sign."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import Domain, Listener, Settings, Signing, TlsReports
from mailgw.delivery.dkim.domains import KeyRing, key_ring, remarks
from mailgw.delivery.dkim.keys import StoredKey, key_files, read_keys
from mailgw.delivery.dkim.states import Standing, read_standings, write_standings
from tests.delivery.keys import pem, small_rsa, write_key, write_states


class KeyFileTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory, 0o700)

    def write(self, domain: str, selector: str, kind: str, mode: int = 0o600, number: int = 0) -> str:
        return write_key(self.directory, domain, selector, pem(kind, number), mode)

    def read(self) -> dict[str, StoredKey]:
        return {stored.name: stored for stored in read_keys(self.directory)}

    def errors(self) -> list[str]:
        with self.assertRaises(ConfigurationErrors) as caught:
            read_keys(self.directory)
        return [str(error).removeprefix(self.directory + "/") for error in caught.exception.errors]


class ReadTests(KeyFileTestCase):
    def test_no_folder_is_no_keys(self) -> None:
        self.assertEqual(read_keys(self.directory + "/none"), ())

    def test_both_algorithms(self) -> None:
        self.write("example.org", "one", "rsa")
        self.write("example.org", "two", "ed25519")
        keys = self.read()
        rsa, ed25519 = keys["one._domainkey.example.org"], keys["two._domainkey.example.org"]
        self.assertEqual((rsa.algorithm, ed25519.algorithm), ("rsa-sha256", "ed25519-sha256"))
        self.assertEqual((rsa.domain, rsa.selector, rsa.state, rsa.since), ("example.org", "one", "active", None))

    def test_the_records_hold_the_public_keys(self) -> None:
        """RFC 6376 3.6.1: SubjectPublicKeyInfo; RFC 8463 4.2: the bare 32 octets."""
        self.write("example.org", "one", "rsa")
        self.write("example.org", "two", "ed25519")
        keys = self.read()
        start, _, p = keys["one._domainkey.example.org"].record.partition("p=")
        self.assertEqual(start, "v=DKIM1; k=rsa; ")
        private: Any = load_pem_private_key(pem("rsa"), None)
        public: Any = load_der_public_key(base64.b64decode(p))
        self.assertEqual(public.public_numbers(), private.public_key().public_numbers())
        start, _, p = keys["two._domainkey.example.org"].record.partition("p=")
        self.assertEqual(start, "v=DKIM1; k=ed25519; ")
        private = load_pem_private_key(pem("ed25519"), None)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(p)).verify(private.sign(b"x"), b"x")

    def test_spellings(self) -> None:
        self.write("BÜCHER.example", "S1", "ed25519")
        self.assertEqual(list(self.read()), ["s1._domainkey.xn--bcher-kva.example"])

    def test_other_files_are_passed_over(self) -> None:
        self.write("example.org", "s", "ed25519")
        for name in ("README", "s.txt", "s.pem~", ".s.pem"):
            Path(self.directory, "example.org", name).write_text("x")
        Path(self.directory, "README").write_text("x")
        os.mkdir(self.directory + "/.git")
        self.assertEqual(len(self.read()), 1)

    def test_what_is_wrong_names_the_file(self) -> None:
        self.write("example.org", "a", "ec")
        self.write("example.org", "b", "encrypted")
        write_key(self.directory, "example.org", "c", small_rsa())
        write_key(self.directory, "example.org", "d", b"-----BEGIN NONSENSE-----\n")
        self.write("example.org", "e", "ed25519", mode=0o644)
        self.write("example.org", "f g", "ed25519")
        self.write("not a domain", "a", "ed25519")
        self.assertEqual(
            self.errors(),
            [
                "example.org/a.pem: the key is neither for RSA nor for Ed25519",
                "example.org/b.pem: the key is encrypted; the gateway can ask nobody for its password",
                "example.org/c.pem: the key has 511 bits; use 2048",
                "example.org/d.pem: this is no private key in PEM",
                "example.org/e.pem: every user of this host may read the private key; chmod 600 it, or make a new one",
                "example.org/f g.pem: the file's name is not a selector: letters, digits, hyphens and dots, then .pem",
                "not a domain: the folder's name is not a domain",
            ],
        )

    def test_two_folders_for_one_domain(self) -> None:
        self.write("EXAMPLE.org", "a", "ed25519")
        self.write("example.org", "b", "ed25519")
        (error,) = self.errors()
        self.assertRegex(error, "^example.org: is for the same domain as .*EXAMPLE.org")

    def test_errors_tell_no_secrets(self) -> None:
        secret = pem("ed25519").replace(b"-----BEGIN", b"----BEGIN")
        write_key(self.directory, "example.org", "a", secret)
        (error,) = self.errors()
        self.assertNotIn(secret.decode().splitlines()[1], error)
        self.assertNotIn("PRIVATE", repr(read_keys(self.directory + "/none")))

    def test_every_change_shows_in_the_files_to_look_at(self) -> None:
        path = self.write("example.org", "a", "ed25519")
        write_states(self.directory, "example.org", "")
        folder = self.directory + "/example.org"
        self.assertEqual(set(key_files(self.directory)), {self.directory, folder, path, folder + "/selectors"})


class StateTests(KeyFileTestCase):
    def test_states(self) -> None:
        for selector in ("a", "b", "c", "d", "e"):
            self.write("example.org", selector, "ed25519")
        write_states(
            self.directory,
            "example.org",
            "# a comment\n\na pending 2026-11-28T09:00:00Z\nb active 2026-11-28T09:00:00Z\n"
            "c retiring 2026-11-28T09:00:00Z\nd removed 2026-11-28T09:00:00Z\nz removed 2026-01-01T00:00:00Z\n",
        )
        states = {stored.selector: stored.state for stored in read_keys(self.directory)}
        self.assertEqual(states, {"a": "pending", "b": "active", "c": "retiring", "d": "retiring", "e": "active"})
        self.assertEqual(self.read()["a._domainkey.example.org"].since, 1795856400.0)

    def test_what_was_written_is_read(self) -> None:
        os.mkdir(self.directory + "/example.org")
        standings = {"a": Standing("active", 1795856400.0), "b-1": Standing("removed", 0.0)}
        write_standings(self.directory + "/example.org", standings)
        self.assertEqual(read_standings(self.directory + "/example.org"), standings)
        self.assertEqual(os.stat(self.directory + "/example.org/selectors").st_mode & 0o777, 0o600)

    def test_wrong_lines(self) -> None:
        self.write("example.org", "a", "ed25519")
        write_states(self.directory, "example.org", "a\nA active 2026-11-28T09:00:00Z\na on 2026-11-28T09:00:00Z\n"
            "a active yesterday\na active 2026-11-28T09:00:00Z\na pending 2026-11-28T09:00:00Z\n")  # fmt: skip
        self.assertEqual(
            self.errors(),
            [
                'example.org/selectors:1: "a" is not SELECTOR STATE SINCE',
                'example.org/selectors:2: "A" is not a selector',
                'example.org/selectors:3: "on" is not one of pending, active, retiring, removed',
                'example.org/selectors:4: "yesterday" is not a time such as 2026-11-28T09:00:00Z',
                "example.org/selectors:6: a: stands in a line above already",
            ],
        )


class RingTests(KeyFileTestCase):
    def settings(self, *domains: str, **signing: Any) -> Settings:
        return Settings(
            hostname="mail.example.org",
            domains=dict.fromkeys(domains or ("example.org", "sub.example.org"), Domain()),
            listeners={"submission": Listener(kind="submission")},
            signing=Signing(keys_directory=self.directory, **signing),
        )

    def ring(self, **signing: Any) -> KeyRing:
        return key_ring(self.settings(**signing), read_keys(self.directory))

    def test_rsa_stands_on_top(self) -> None:
        self.write("example.org", "a", "ed25519")
        self.write("example.org", "b", "rsa")
        self.assertEqual([key.selector for key in self.ring().for_author("example.org")], ["b", "a"])

    def test_only_active_keys_sign(self) -> None:
        for selector in ("a", "b", "c"):
            self.write("example.org", selector, "ed25519")
        write_states(self.directory, "example.org", "a pending 2026-11-28T09:00:00Z\nb retiring 2026-11-28T09:00:00Z\n")
        self.assertEqual([key.selector for key in self.ring().for_author("example.org")], ["c"])

    def test_only_our_domains_sign(self) -> None:
        self.write("example.com", "a", "ed25519")
        self.assertEqual(self.ring().for_author("example.com"), ())

    def test_disabled(self) -> None:
        self.write("example.org", "a", "ed25519")
        self.assertEqual(self.ring(enabled=False).for_author("example.org"), ())

    def test_a_parent_signs_where_it_is_wanted(self) -> None:
        self.write("example.org", "a", "ed25519")
        self.assertEqual(self.ring().for_author("sub.example.org"), ())
        (key,) = self.ring(parent_domains=True).for_author("sub.example.org")
        self.assertEqual(key.domain, "example.org")
        self.assertEqual(self.ring(parent_domains=True).for_author("badexample.org"), ())

    def test_own_keys_come_before_those_of_the_parent(self) -> None:
        self.write("example.org", "a", "ed25519")
        self.write("sub.example.org", "b", "ed25519")
        (key,) = self.ring(parent_domains=True).for_author("sub.example.org")
        self.assertEqual(key.selector, "b")

    def test_reports_are_of_this_host_or_of_the_domain_above_it(self) -> None:
        self.write("example.org", "a", "ed25519")
        self.assertEqual([key.domain for key in self.ring().for_author("mail.example.org")], ["example.org"])
        self.write("mail.example.org", "b", "ed25519")
        self.assertEqual([key.domain for key in self.ring().for_author("mail.example.org")], ["mail.example.org"])

    def test_remarks(self) -> None:
        self.write("example.com", "a", "ed25519")
        lines = remarks(self.settings(), read_keys(self.directory))
        self.assertEqual(len(lines), 2)
        self.assertIn("mail from example.org, sub.example.org goes out without a DKIM signature", lines[0])
        self.assertIn("`mailgw dkim new-key example.org`", lines[0])
        self.assertIn("the DKIM keys of example.com are not used", lines[1])

    def test_reports_on_tls_want_a_key(self) -> None:
        settings = evolve(self.settings("example.org"), tls_reports=TlsReports(sender="tls@mail.example.org"))
        (_, line) = remarks(settings, ())
        self.assertIn("no reports on TLS are sent", line)
        self.assertIn("`mailgw dkim new-key mail.example.org`", line)
        self.write("example.org", "a", "ed25519")
        self.assertEqual(remarks(settings, read_keys(self.directory)), [])

    def test_nothing_to_remark(self) -> None:
        self.write("example.org", "a", "ed25519")
        keys = read_keys(self.directory)
        self.assertEqual(remarks(self.settings("example.org"), keys), [])
        self.assertEqual(remarks(self.settings(parent_domains=True), keys), [])
        self.assertEqual(remarks(self.settings(enabled=False), ()), [])
