"""Where forward-paths lead."""

from __future__ import annotations

from mailgw.mail.address import Mailbox
from mailgw.routing.interface import Routed, Unknown
from tests.routing.files import RoutingTest

ROUTED = """\
[domains."plants.example"]
deliver = "route:plants"
[domains."known.example"]
deliver = "route:plants"
recipients_file = "known"
[routes.plants]
hosts = ["192.0.2.1"]
"""


class UserTests(RoutingTest):
    def test_a_user(self) -> None:
        router = self.router()
        found = router.resolve(Mailbox.parse("alice@example.org"))
        assert isinstance(found, Routed)
        self.assertTrue(found.ours)
        self.assertEqual([str(target.mailbox) for target in found.targets], ["alice@example.org"])
        self.assertEqual(self.destinations(router, "alice@example.org"), ["maildir:alice@example.org"])

    def test_case_does_not_count(self) -> None:
        router = self.router(users="Alice@Example.ORG")
        for spelling in ("alice@example.org", "ALICE@EXAMPLE.ORG", '"Alice"@example.org'):
            self.assertEqual(self.destinations(router, spelling), ["maildir:alice@example.org"], spelling)

    def test_nobody(self) -> None:
        found = self.router().resolve(Mailbox.parse("carol@example.org"))
        assert isinstance(found, Unknown)
        self.assertIn("carol@example.org", found.reason)

    def test_composition_of_characters_does_not_count(self) -> None:
        router = self.router(users="jos\u00e9@example.org")
        self.assertEqual(self.destinations(router, "jose\u0301@example.org"), ["maildir:jos\u00e9@example.org"])

    def test_spellings_of_a_domain(self) -> None:
        router = self.router(users="alice@bücher.example", more='[domains."bücher.example"]\n')
        for domain in ("bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "XN--BCHER-KVA.EXAMPLE"):
            self.assertTrue(router.is_ours(domain), domain)
            self.assertEqual(
                self.destinations(router, f"alice@{domain}"), ["maildir:alice@xn--bcher-kva.example"], domain
            )
        self.assertTrue(router.is_ours("example.org."))
        for domain in ("", "org", "sub.example.org", "xexample.org", "[127.0.0.1]", "-", "a..b"):
            self.assertFalse(router.is_ours(domain), domain)


class DetailTests(RoutingTest):
    def test_the_detail_is_dropped(self) -> None:
        router = self.router()
        for local in ("alice+x", "alice+", "alice+x+y", "Alice+X"):
            self.assertEqual(self.destinations(router, f"{local}@example.org"), ["maildir:alice@example.org"], local)

    def test_what_is_listed_wins(self) -> None:
        router = self.router(
            aliases="alice+list@example.org: bob@example.org\n",
            users="alice@example.org bob@example.org alice+own@example.org",
        )
        self.assertEqual(self.destinations(router, "alice+list@example.org"), ["maildir:bob@example.org"])
        self.assertEqual(self.destinations(router, "alice+own@example.org"), ["maildir:alice+own@example.org"])
        self.assertEqual(self.destinations(router, "alice+own+x@example.org"), ["maildir:alice+own@example.org"])
        self.assertEqual(self.destinations(router, "alice+other@example.org"), ["maildir:alice@example.org"])

    def test_a_detail_alone_is_nobody(self) -> None:
        self.assertIsNone(self.destinations(self.router(), "+alice@example.org"))

    def test_aliases_have_details_too(self) -> None:
        router = self.router(aliases="team@example.org: bob@example.org\n")
        self.assertEqual(self.destinations(router, "team+x@example.org"), ["maildir:bob@example.org"])

    def test_other_separators(self) -> None:
        router = self.router(users="mary-ann@example.org mary@example.org", more='[routing]\nseparators = "-_"\n')
        self.assertEqual(self.destinations(router, "mary-ann-x@example.org"), ["maildir:mary-ann@example.org"])
        self.assertEqual(self.destinations(router, "mary_x@example.org"), ["maildir:mary@example.org"])
        self.assertIsNone(self.destinations(router, "mary+x@example.org"))

    def test_no_separators(self) -> None:
        router = self.router(more='[routing]\nseparators = ""\n')
        self.assertIsNone(self.destinations(router, "alice+x@example.org"))


class CatchAllTests(RoutingTest):
    MORE = '[domains."second.example"]\ncatch_all = "alice@example.org"\n'

    def test_it_takes_what_nobody_has(self) -> None:
        router = self.router(users="alice@example.org zoe@second.example", more=self.MORE)
        self.assertEqual(self.destinations(router, "anything@second.example"), ["maildir:alice@example.org"])
        self.assertEqual(self.destinations(router, "zoe+x@second.example"), ["maildir:zoe@second.example"])
        self.assertIsNone(self.destinations(router, "anything@example.org"))

    def test_it_may_be_an_alias(self) -> None:
        router = self.router(
            aliases="alice@example.org: bob@example.org, x@elsewhere.example\n", users="bob@example.org", more=self.MORE
        )
        self.assertEqual(
            self.destinations(router, "anything@second.example"),
            ["maildir:bob@example.org", "forward:mx:elsewhere.example"],
        )

    def test_its_mailbox_has_to_be_there(self) -> None:
        (error,) = self.errors_of("", "bob@example.org", self.MORE)
        self.assertEqual(error.key, 'domains."second.example".catch_all')
        self.assertEqual(error.line, 9)
        self.assertIn("alice@example.org is no mailbox here", error.message)

    def test_it_does_not_count_as_its_own_mailbox(self) -> None:
        more = '[domains."second.example"]\ncatch_all = "anyone@second.example"\n'
        (error,) = self.errors_of("", "bob@example.org", more)
        self.assertEqual(error.key, 'domains."second.example".catch_all')


class PostmasterTests(RoutingTest):
    def test_an_alias(self) -> None:
        router = self.router(aliases="postmaster@example.org: bob@example.org\n")
        for local in ("postmaster", "POSTMASTER", "Postmaster+x"):
            self.assertEqual(self.destinations(router, f"{local}@example.org"), ["maildir:bob@example.org"], local)

    def test_a_user(self) -> None:
        router = self.router(users="alice@example.org postmaster@example.org")
        self.assertEqual(self.destinations(router, "Postmaster@example.org"), ["maildir:postmaster@example.org"])

    def test_the_first_user_stands_in(self) -> None:
        self.assertEqual(self.destinations(self.router(), "PostMaster@example.org"), ["maildir:alice@example.org"])

    def test_a_user_of_the_domain_rather_than_of_another(self) -> None:
        router = self.router(
            users="alice@example.org zoe@second.example yves@second.example", more='[domains."second.example"]\n'
        )
        self.assertEqual(self.destinations(router, "postmaster@second.example"), ["maildir:zoe@second.example"])

    def test_the_postmaster_of_another_domain_rather_than_a_user(self) -> None:
        router = self.router(
            aliases="postmaster@example.org: bob@example.org\n",
            users="zoe@second.example bob@example.org",
            more='[domains."second.example"]\n',
        )
        self.assertEqual(self.destinations(router, "postmaster@second.example"), ["maildir:bob@example.org"])

    def test_the_catch_all_before_anyone_else(self) -> None:
        router = self.router(more='[domains."second.example"]\ncatch_all = "bob@example.org"\n')
        self.assertEqual(self.destinations(router, "postmaster@second.example"), ["maildir:bob@example.org"])

    def test_aliases_may_lead_to_it(self) -> None:
        router = self.router(aliases="abuse@example.org: postmaster@example.org\n")
        self.assertEqual(self.destinations(router, "abuse@example.org"), ["maildir:alice@example.org"])

    def test_nobody_is_an_error(self) -> None:
        (error,) = self.errors_of("", "")
        self.assertEqual(error.key, 'domains."example.org"')
        self.assertIn("postmaster@example.org", error.message)
        self.assertIn("mailgw user add", error.message)


class RoutedDomainTests(RoutingTest):
    def test_any_recipient(self) -> None:
        router = self.router(more=ROUTED, known="")
        found = router.resolve(Mailbox.parse("Any.One+x@Plants.Example"))
        assert isinstance(found, Routed)
        self.assertTrue(found.ours)
        (target,) = found.targets
        # The local part is the next hop's to read: it goes on as it came.
        self.assertEqual(target.mailbox, Mailbox("Any.One+x", "plants.example"))
        self.assertEqual(str(target.destination), "relay:route:plants")

    def test_known_recipients(self) -> None:
        router = self.router(more=ROUTED, known="# people\njoe\n\nJane@known.example\n")
        for address in ("joe@known.example", "JANE@known.example", "joe+x@known.example", "postmaster@known.example"):
            self.assertEqual(self.destinations(router, address), ["relay:route:plants"], address)
        self.assertIsNone(self.destinations(router, "jim@known.example"))

    def test_catch_all_of_known_recipients(self) -> None:
        more = ROUTED.replace('recipients_file = "known"', 'recipients_file = "known"\ncatch_all = "bob@example.org"')
        router = self.router(more=more, known="joe\n")
        self.assertEqual(self.destinations(router, "jim@known.example"), ["maildir:bob@example.org"])

    def test_an_alias_comes_first(self) -> None:
        router = self.router(aliases="joe@plants.example: alice@example.org\n", more=ROUTED, known="")
        self.assertEqual(self.destinations(router, "joe@plants.example"), ["maildir:alice@example.org"])

    def test_a_user_of_a_routed_domain_gets_mail_there(self) -> None:
        router = self.router(users="alice@example.org joe@plants.example", more=ROUTED, known="")
        self.assertEqual(self.destinations(router, "joe@plants.example"), ["relay:route:plants"])

    def test_errors_in_the_list(self) -> None:
        errors = self.errors_of("", "alice@example.org", ROUTED, known="joe\na b\njim@example.org\n")
        self.assertEqual(
            [(error.file, error.line) for error in errors], [(str(self.folder / "known"), n) for n in (2, 3)]
        )


class OutsideTests(RoutingTest):
    def test_by_mx(self) -> None:
        router = self.router()
        found = router.resolve(Mailbox.parse("X@Bücher.example"))
        assert isinstance(found, Routed)
        self.assertFalse(found.ours)
        self.assertEqual(str(found.targets[0].destination), "relay:mx:xn--bcher-kva.example")
        self.assertEqual(found.targets[0].mailbox.local_part, "X")

    def test_by_smarthost(self) -> None:
        router = self.router(more='[relay]\ndefault = "route:s"\n[routes.s]\nhosts = ["192.0.2.1"]\n')
        self.assertEqual(self.destinations(router, "x@elsewhere.example"), ["relay:route:s"])

    def test_an_address_without_domain_goes_nowhere(self) -> None:
        self.assertIsInstance(self.router().resolve(Mailbox("postmaster", "")), Unknown)


class NoRelayTests(RoutingTest):
    """No spelling of an address makes mail for the outside look like ours (open relays of RFC 2505 2.1 and 2.7)."""

    MORE = (
        ROUTED + '[domains."all.example"]\ncatch_all = "alice@example.org"\n'
        '[domains."caught.example"]\ndeliver = "route:plants"\n'
        'recipients_file = "known"\ncatch_all = "bob@example.org"\n'
    )
    LOCAL_PARTS = (
        "victim%elsewhere.example",
        "victim%elsewhere.example%example.org",
        "elsewhere.example!victim",
        "example.org!elsewhere.example!victim",
        '"victim@elsewhere.example"',
        '"victim@elsewhere.example@example.org"',
        '"@elsewhere.example:victim"',
        '"victim%elsewhere.example"',
        '"elsewhere.example!victim"',
        '"<victim@elsewhere.example>"',
        '"victim\\@elsewhere.example"',
        '"victim@[192.0.2.9]"',
        '"@"',
    )

    def test_routing_in_the_local_part(self) -> None:
        router = self.router(more=self.MORE, known="joe\n")
        for domain in ("example.org", "plants.example", "known.example", "all.example", "caught.example"):
            for local in self.LOCAL_PARTS:
                found = router.resolve(Mailbox.parse(f"{local}@{domain}"))
                self.assertIsInstance(found, Unknown, f"{local}@{domain}")

    def test_routing_behind_a_known_name(self) -> None:
        router = self.router(more=self.MORE, known="joe\n")
        for address in ("joe+%elsewhere.example@known.example", '"joe+@elsewhere.example"@known.example'):
            self.assertIsNone(self.destinations(router, address), address)

    def test_other_spellings_are_not_ours(self) -> None:
        router = self.router()
        for address in (
            "victim@[127.0.0.1]",
            "victim@[IPv6:::1]",
            "alice@[127.0.0.1]",
            "alice@sub.example.org",
            "alice@example.org.elsewhere.example",
            "alice@example.orgelsewhere",
            "alice@mail.example.org",
            '"alice@example.org"@elsewhere.example',
            "alice%example.org@elsewhere.example",
            '"x@example.org\\"@example.org"@elsewhere.example',
        ):
            found = router.resolve(Mailbox.parse(address))
            assert isinstance(found, Routed), address
            self.assertFalse(found.ours, address)

    def test_a_name_with_such_a_character_may_be_listed(self) -> None:
        router = self.router(aliases="old!path@example.org: bob@example.org\n")
        self.assertEqual(self.destinations(router, "old!path@example.org"), ["maildir:bob@example.org"])


class FileTests(RoutingTest):
    def test_a_file_that_is_missing_is_named_with_its_key(self) -> None:
        more = '[routing]\nusers_file = "none"\naliases_file = "nowhere"\n'
        users, aliases = self.errors_of("", "alice@example.org", more)
        main = self.folder / "mailgw.toml"
        self.assertEqual(str(users), f"{main}:9: routing.users_file: {self.folder / 'none'}: the file does not exist")
        self.assertEqual((aliases.key, aliases.line), ("routing.aliases_file", 10))
