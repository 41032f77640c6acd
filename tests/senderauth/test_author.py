"""The Author Domain (RFC 9989 5.3.1): exact, or invalid."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import Message
from mailgw.senderauth.author import MAX_DOMAINS, MAX_FIELD, AuthorError, author_domains


def message(*values: str | bytes) -> Message:
    fields = b"".join(b"From: " + (v if isinstance(v, bytes) else v.encode()) + b"\r\n" for v in values)
    return Message.from_bytes(b"To: b@example.net\r\n" + fields + b"\r\nx\r\n")


def domains(*values: str | bytes) -> tuple[str, ...]:
    return author_domains(message(*values))


class OneAuthorTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for value in (
            "ann@example.org",
            "<ann@example.org>",
            "Ann <ann@example.org>",
            "Ann Q. Public <ann@Example.ORG>",
            '"Public, Ann" <ann@example.org>',
            '"Ann <ann@example.com>" <ann@example.org>',
            "Public, Ann <ann@example.org>",
            "ann@example.org (Ann)",
            "(a (nested) comment) ann (x) @ (y) example (z) . org",
            "Ann (a@example.com) <ann@example.org> (more)",
            "ceo@example.com <ann@example.org>",
            "[List] Ann <ann@example.org>",
            "Ann :) <ann@example.org>",
            "=?utf-8?q?J=C3=BCrgen?= <ann@example.org>",
            "Jürgen <jürgen@example.org>",
            '"a@b"@example.org',
            '<"a b"@example.org>',
            "a..b.@example.org",
            "ann@example.org.",
            "Group: ann@example.org;",
            "Ann <ann@example.org>, Bob <bob@EXAMPLE.org>",
            ", Ann <ann@example.org>,,",
        ):
            self.assertEqual(domains(value), ("example.org",), value)

    def test_folded(self) -> None:
        self.assertEqual(domains(b"Ann\r\n <ann@example.org>"), ("example.org",))

    def test_non_ascii_domains_become_a_labels(self) -> None:
        """RFC 9989 5.3.1."""
        for value in (
            "ann@bücher.example",
            "Ann <ann@BÜCHER.example>",
            "ann@xn--bcher-kva.example",
            "a@bücher。example",
        ):
            self.assertEqual(domains(value), ("xn--bcher-kva.example",), value)
        self.assertEqual(domains("ann@\uff45xample.org"), ("example.org",))

    def test_odd_domains(self) -> None:
        self.assertEqual(domains("ann@my_host.example"), ("my_host.example",))
        self.assertEqual(domains("ann@localhost"), ("localhost",))


class SeveralAuthorTests(SynchronousTestCase):
    def test_each_domain_once(self) -> None:
        """RFC 9989 11.5."""
        value = 'a@one.example, "b, c" <b@two.example>, Group: d@one.example, e@three.example;'
        self.assertEqual(domains(value), ("one.example", "two.example", "three.example"))

    def test_too_many(self) -> None:
        value = ", ".join(f"a@{n}.example" for n in range(MAX_DOMAINS + 1))
        self.assertRaises(AuthorError, domains, value)


class InvalidTests(SynchronousTestCase):
    def why(self, *values: str | bytes) -> str:
        return str(self.assertRaises(AuthorError, domains, *values))

    def test_missing_and_repeated(self) -> None:
        """RFC 9989 4.4, 11.5."""
        self.assertEqual(self.why(), "no From field")
        self.assertEqual(self.why("a@example.org", "a@example.org"), "2 From fields")

    def test_no_address(self) -> None:
        for value in ("", "Ann", "undisclosed-senders:;", "()", ",", "ann at example.org"):
            self.assertEqual(self.why(value), "no address in From", value)

    def test_address_literals(self) -> None:
        for value in ("ann@[192.0.2.1]", "Ann <ann@[IPv6:2001:db8::1]>", "a@example.org, b@[192.0.2.1]"):
            self.assertIn("address literal", self.why(value), value)

    def test_no_domain(self) -> None:
        for value in (
            "ann@",
            "ann@example..org",
            "ann@.example.org",
            "ann@example.org..",
            "ann@exam ple.org",
            "ann@example.org\x00",
            "ann@exämple..org",
            b"ann@b\xfccher.example",
            "ann@" + "a" * 64 + ".example",
            "ann@" + ".".join(["a" * 50] * 6),
            "ann@bücher." + "a" * 300,
            'ann@"example.org"',
            "ann@exa\\mple.org",
        ):
            self.assertIn("From has no valid domain", self.why(value), value)

    def test_programs_would_read_them_differently(self) -> None:
        for value in (
            "ceo@example.com ann@example.org",
            "a@b@example.org",
            "<ceo@example.com> <ann@example.org>",
            "<ceo@example.com> ann@example.org",
            "ceo@example.com: ann@example.org;",
            "<@example.com:ann@example.org>",
            "<ceo@example.com, ann@example.org>",
            "<ann@example.org",
            "ann@example.org>",
            '"Ann <ann@example.org>',
            "(Ann <ann@example.org>",
            "<@example.org>",
            "@example.org",
            "<ann>",
        ):
            self.assertTrue(self.why(value).startswith("From cannot be read"), value)

    def test_a_problem_is_printable(self) -> None:
        for value in ("ann@\x01\u202e", b"ann@\xff\xfe", "ann@[\r\n x]"):
            self.assertTrue(self.why(value).isprintable(), value)
            self.assertTrue(self.why(value).isascii(), value)


class HostileTests(SynchronousTestCase):
    def test_too_long(self) -> None:
        self.assertRaises(AuthorError, domains, "x" * MAX_FIELD + " <ann@example.org>")

    def test_no_text_takes_long(self) -> None:
        for piece in (
            "(",
            ")",
            '"',
            "\\",
            "<",
            ",",
            "a@b,",
            "a@b.c, ",
            "(a)",
            '"a" ',
            "[",
            "[]",
            "a@",
            ".",
            " ",
            "é",
            "a:",
        ):
            for end in ("", " <ann@example.org>"):
                text = (piece * MAX_FIELD)[: (MAX_FIELD - 30) // len(piece.encode())] + end
                started = time.process_time()
                try:
                    domains(text)
                except AuthorError:
                    pass
                self.assertLess(time.process_time() - started, 0.1, piece)

    @settings(max_examples=500, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.sampled_from(
                    ["a@b.example", "<", ">", "@", ",", ";", ":", '"', "(", ")", "[", "]", "\\", ".", " ", "ü", "x"]
                ),
                st.text(max_size=3),
            ),
            max_size=20,
        ).map("".join)
    )
    def test_a_domain_or_a_problem(self, text: str) -> None:
        try:
            found = domains(text.encode("utf-8", "surrogatepass").replace(b"\r", b"").replace(b"\n", b""))
        except AuthorError as problem:
            self.assertTrue(str(problem))
            return
        for domain in found:
            self.assertRegex(domain, r"\A[a-z0-9_.-]+\Z")
