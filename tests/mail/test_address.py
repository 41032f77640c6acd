"""Mailbox: RFC 5321 4.1.2 and 4.1.3, RFC 6531 3.3."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import AddressError, Mailbox


class MailboxTests(SynchronousTestCase):
    def test_reads_what_rfc_5321_allows(self) -> None:
        for text, local, domain in [
            ("user@example.org", "user", "example.org"),
            ("first.last@Example.ORG", "first.last", "example.org"),
            ('"a b"@example.org', "a b", "example.org"),
            (r'"a\"b"@example.org', 'a"b', "example.org"),
            ("user+tag@example.org", "user+tag", "example.org"),
            ("user@[192.0.2.1]", "user", "[192.0.2.1]"),
            ("user@[IPv6:2001:db8::1]", "user", "[ipv6:2001:db8::1]"),
            ("jörg@müller.example", "jörg", "müller.example"),
            ("user@xn--mller-kva.example", "user", "xn--mller-kva.example"),
        ]:
            mailbox = Mailbox.parse(text)
            self.assertEqual((mailbox.local_part, mailbox.domain), (local, domain), text)

    def test_refuses_what_is_no_mailbox_and_says_why(self) -> None:
        for text, why in [
            ("user", "no domain"),
            ("user@", "no domain"),
            ("@example.org", "local part"),
            ("", "local part"),
            ("a b@example.org", "unexpected"),
            ("a@b@example.org", "not a domain"),
            (".a@example.org", "local part"),
            ("a..b@example.org", "unexpected"),
            ("a@-example.org", "not a domain"),
            ("a@example.org.", "not a domain"),
            ("a@exa_mple.org", "not a domain"),
            ("a@[300.1.1.1]", "literal"),
            ("a@[IPv6:zz]", "literal"),
            ("a\r\nRCPT TO:<x@y>@example.org", "unexpected"),
            ("a\0@example.org", "unexpected"),
            ("x" * 65 + "@example.org", "64"),
            ("x@" + "a." * 127 + "org", "longer"),
            ("x@" + "a" * 64 + ".org", "63"),
        ]:
            with self.assertRaises(AddressError, msg=text) as caught:
                Mailbox.parse(text)
            self.assertIn(why, str(caught.exception), text)

    def test_quoting_is_no_part_of_the_value(self) -> None:
        self.assertEqual(Mailbox.parse('"user"@example.org'), Mailbox.parse("user@example.org"))

    def test_writes_quotes_where_they_are_needed(self) -> None:
        self.assertEqual(str(Mailbox('a"b c', "example.org")), r'"a\"b c"@example.org')
        self.assertEqual(str(Mailbox("", "example.org")), '""@example.org')
        self.assertEqual(str(Mailbox("user", "example.org")), "user@example.org")

    def test_domains_compare_as_a_labels(self) -> None:
        self.assertEqual(Mailbox.parse("a@Müller.example").ascii_domain, "xn--mller-kva.example")

    @given(st.text(max_size=80))
    def test_never_raises_anything_else(self, text: str) -> None:
        try:
            mailbox = Mailbox.parse(text)
        except AddressError:
            return
        self.assertEqual(Mailbox.parse(str(mailbox)), mailbox)
