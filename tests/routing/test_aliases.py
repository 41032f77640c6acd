"""The aliases file, and what its entries lead to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.routing.aliases import parse_aliases
from mailgw.routing.expansion import MAX_DEPTH
from tests.routing.files import RoutingTest


class ParseTests(SynchronousTestCase):
    def parse(self, text: str, default_domain: str = "") -> dict[str, list[str]]:
        aliases, errors = parse_aliases(text, "aliases", default_domain)
        self.assertEqual(errors, [])
        return {str(alias.mailbox): [str(target) for target in alias.targets] for alias in aliases.values()}

    def errors(self, text: str, default_domain: str = "") -> list[str]:
        return [str(error) for error in parse_aliases(text, "aliases", default_domain)[1]]

    def test_entries(self) -> None:
        self.assertEqual(
            self.parse(
                "# comment\n\na@x.example: b@x.example,c@y.example  # trailing\n"
                "d@x.example:\n  e@x.example,\n\n # comment within\n\tf@x.example\r\ng#h@x.example: i@x.example\n"
            ),
            {
                "a@x.example": ["b@x.example", "c@y.example"],
                "d@x.example": ["e@x.example", "f@x.example"],
                "g#h@x.example": ["i@x.example"],
            },
        )

    def test_quoted_names(self) -> None:
        self.assertEqual(
            self.parse('"a:b,c"@x.example: "d, e"@x.example, f@[IPv6:2001:db8::1]\n'),
            {'"a:b,c"@x.example': ['"d, e"@x.example', "f@[ipv6:2001:db8::1]"]},
        )

    def test_the_only_domain_may_be_left_out(self) -> None:
        self.assertEqual(self.parse("a: b, c@y\n", "x.example"), {"a@x.example": ["b@x.example", "c@y"]})

    def test_lines_of_errors(self) -> None:
        self.assertEqual(
            self.errors("a@x: b@x\n\nno colon\nc@x:\n  d@@x\nA@x: e@x\nf@x: ,\n"),
            [
                'aliases:3: "no colon" is not ADDRESS: TARGET, TARGET',
                "aliases:4: \"d@@x\" is not an address: '@x' is not a domain name",
                "aliases:6: A@x: is in line 1 already; write all targets in one line",
                "aliases:7: f@x has no target",
            ],
        )

    def test_a_name_without_domain(self) -> None:
        (error,) = self.errors("a: b@x\n")
        self.assertIn('aliases:1: "a" is not an address', error)
        self.assertIn("with several domains an alias names its own", error)

    def test_what_other_servers_take(self) -> None:
        for target in ('"|/bin/vacation"', "|/bin/vacation", "/var/mail/x", ":include:/etc/list"):
            (error,) = self.errors(f"a@x: {target}\n")
            self.assertIn("programs, files and lists cannot be targets", error)
        (error,) = self.errors("@x.example: a@x.example\n")
        self.assertIn('set catch_all in [domains."x.example"]', error)


class ExpansionTests(RoutingTest):
    def test_nested(self) -> None:
        router = self.router(
            "all@example.org: team@example.org, x@elsewhere.example\n"
            "team@example.org: alice@example.org, bob+work@example.org\n"
        )
        self.assertEqual(
            self.destinations(router, "ALL@example.org"),
            ["maildir:alice@example.org", "maildir:bob@example.org", "forward:mx:elsewhere.example"],
        )

    def test_each_mailbox_gets_one_copy(self) -> None:
        router = self.router("a: b, c, alice\nb: alice, bob\nc: bob, alice, x@y.example, X@y.example\n")
        self.assertEqual(
            self.destinations(router, "a@example.org"),
            ["maildir:alice@example.org", "maildir:bob@example.org", "forward:mx:y.example", "forward:mx:y.example"],
        )

    def test_a_copy_for_oneself(self) -> None:
        router = self.router("alice: alice, bob\nboth: alice\n")
        for address in ("alice@example.org", "both@example.org"):
            self.assertEqual(
                self.destinations(router, address), ["maildir:alice@example.org", "maildir:bob@example.org"]
            )

    def test_an_alias_hides_the_user(self) -> None:
        self.assertEqual(
            self.destinations(self.router("alice: bob\n"), "alice@example.org"), ["maildir:bob@example.org"]
        )

    def test_loops(self) -> None:
        (error,) = self.errors_of("# x\na: b\nb: c, bob\nc: a\n")
        self.assertEqual(
            str(error),
            f"{self.folder / 'aliases'}:2: a@example.org: "
            "a loop: a@example.org -> b@example.org -> c@example.org -> a@example.org",
        )
        (error,) = self.errors_of("a: a\n")
        self.assertIn("a loop: a@example.org -> a@example.org", str(error))
        (error,) = self.errors_of("a: b+x\nb: a+y\n")
        self.assertIn("a loop", str(error))

    def test_two_users_may_forward_to_each_other_only_with_their_own_copy(self) -> None:
        (error,) = self.errors_of("alice: bob\nbob: alice\n")
        self.assertIn("a loop", str(error))

    def test_a_target_that_nobody_has(self) -> None:
        (error,) = self.errors_of("a: alice\nb: carol, alice\nc: b\n")
        self.assertEqual((error.line, error.key), (2, "b@example.org"))
        self.assertIn("carol@example.org is no mailbox here", error.message)

    def test_nested_without_end(self) -> None:
        errors = self.errors_of("".join(f"a{n}: a{n + 1}\n" for n in range(MAX_DEPTH + 5)) + f"a{MAX_DEPTH + 5}: bob\n")
        self.assertEqual(len(errors), 1)
        self.assertIn("nested more than", str(errors[0]))

    def test_many_aliases_of_many_aliases_are_quick(self) -> None:
        # Each names the next one ten times over: followed one by one, this would not end.
        lines = [f"a{n}: {', '.join(f'a{n + 1}+{detail}' for detail in range(10))}\n" for n in range(30)]
        router = self.router("".join(lines) + "a30: bob\n")
        self.assertEqual(self.destinations(router, "a0@example.org"), ["maildir:bob@example.org"])

    def test_a_domain_that_is_not_ours(self) -> None:
        (error,) = self.errors_of("a@elsewhere.example: alice@example.org\n")
        self.assertEqual(error.line, 1)
        self.assertIn("elsewhere.example is not one of [domains]", error.message)
        (error,) = self.errors_of("", "alice@example.org zoe@elsewhere.example")
        self.assertEqual((error.file, error.line), (str(self.folder / "users"), 2))
