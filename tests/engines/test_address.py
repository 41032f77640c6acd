"""Addresses of engines."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.engines.address import Address


class AddressTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for text, shown in (
            ("unix:/run/clamd.ctl", "unix:/run/clamd.ctl"),
            ("/run/clamd.ctl", "unix:/run/clamd.ctl"),
            ("127.0.0.1:3310", "127.0.0.1:3310"),
            ("[::1]:3310", "[::1]:3310"),
            ("Scanner.example.org:3310", "scanner.example.org:3310"),
            ("localhost:783", "localhost:783"),
        ):
            self.assertEqual(str(Address.parse(text)), shown)

    def test_what_is_none_says_what_to_write(self) -> None:
        for text, wanted in (
            ("unix:clamd.ctl", "unix:/PATH"),
            ("inet:8891@localhost", '"localhost:8891"'),
            ("local:/run/x.sock", '"unix:/run/x.sock"'),
            ("127.0.0.1", "127.0.0.1:PORT"),
            ("127.0.0.1:0", "PORT"),
            ("a b:1", "neither a host name"),
            ("", "neither a host name"),
        ):
            error = self.assertRaises(ValueError, Address.parse, text)
            self.assertIn(wanted, str(error), text)
