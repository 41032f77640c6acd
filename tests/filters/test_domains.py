"""Hosts in every notation that leads somewhere, and what was registered of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.domains import normalise_host, registered_domain, unicode_host


class HostTests(SynchronousTestCase):
    def test_one_form_for_all_notations(self) -> None:
        for text, name, tricks in (
            ("www.Example.COM", "www.example.com", ()),
            ("example.com.", "example.com", ()),
            ("a_b.example.com", "a_b.example.com", ()),
            ("ex%61mple.com", "example.com", ("percent",)),
            ("%20example.com%20", "example.com", ()),
            ("bücher.example", "xn--bcher-kva.example", ("idn",)),
            ("XN--bcher-KVA.example", "xn--bcher-kva.example", ("idn",)),
            ("example\u3002com", "example.com", ()),
            ("\uff45xample.com", "example.com", ()),  # a full-width e
            ("exam\u00adple.com", "example.com", ("invisible",)),
            ("exa\u200bmple.com", "example.com", ("invisible",)),
            ("192.0.2.1", "192.0.2.1", ()),
            ("0xC0.0.2.1", "192.0.2.1", ("numeric",)),
            ("0300.0.02.01", "192.0.2.1", ("numeric",)),
            ("3221225985", "192.0.2.1", ("numeric",)),
            ("192.513", "192.0.2.1", ("numeric",)),
            ("0xc0000201", "192.0.2.1", ("numeric",)),
            ("%31%39%32.0.2.1", "192.0.2.1", ("percent",)),
            ("[2001:DB8:0::1]", "[2001:db8::1]", ()),
            ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]", ()),
            ("1.2.3.4.5", "1.2.3.4.5", ()),
            ("256.0.0.1", "256.0.0.1", ()),
            ("a1.example2.com", "a1.example2.com", ()),
            ("", "", ()),
        ):
            host = normalise_host(text)
            if text.startswith("[::ffff"):
                self.assertIn(host.name, (name, "[::ffff:c000:201]"))
                continue
            self.assertEqual((host.name, host.tricks), (name, tricks), text)

    def test_addresses(self) -> None:
        for name, is_address in (
            ("192.0.2.1", True),
            ("017700000001", True),
            ("[2001:db8::1]", True),
            ("host1", False),
            ("1.2.3.4.5", False),
            ("a.example", False),
        ):
            self.assertEqual(normalise_host(name).is_address, is_address, name)

    def test_what_a_reader_sees(self) -> None:
        self.assertEqual(unicode_host("www.xn--bcher-kva.example"), "www.bücher.example")
        self.assertEqual(unicode_host("xn--\xff.example"), "xn--\xff.example")

    def test_what_was_registered(self) -> None:
        for name, domain in (
            ("www.example.com", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.com", "example.com"),
            ("someone.github.io", "someone.github.io"),
            ("x.someone.github.io", "someone.github.io"),
            ("co.uk", "co.uk"),
            ("a.b.unknown-suffix", "b.unknown-suffix"),
            ("www.xn--55qx5d.cn", "www.xn--55qx5d.cn"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("localhost", "localhost"),
            ("", ""),
        ):
            self.assertEqual(registered_domain(name), domain, name)

    @settings(max_examples=500, deadline=None)
    @given(st.text(max_size=80))
    def test_never_raises(self, text: str) -> None:
        host = normalise_host(text)
        unicode_host(host.name)
        registered_domain(host.name)
