"""Which way mail to the outside takes, by recipient, sender and user: [relay.rules]."""

from __future__ import annotations

from mailgw.mail.address import Mailbox
from mailgw.routing.interface import Origin, Routed
from mailgw.routing.router import DirectoryRouter
from tests.routing.files import RoutingTest

ROUTES = """
[routes.bank]
hosts = ["192.0.2.1"]
[routes.news]
hosts = ["192.0.2.2"]
[routes.all]
hosts = ["192.0.2.3"]
"""


class RulesTest(RoutingTest):
    def built(self, rules: str, aliases: str = "", default: str = "mx", more: str = "") -> DirectoryRouter:
        return self.router(aliases, more=f'[relay]\ndefault = "{default}"\n{rules}{ROUTES}{more}')

    def way(self, router: DirectoryRouter, recipient: str, sender: str = "", user: str = "") -> str:
        """The destination, and the rule behind it."""
        origin = Origin(Mailbox.parse(sender) if sender else None, user)
        found = router.resolve(Mailbox.parse(recipient), origin)
        assert isinstance(found, Routed)
        (target,) = found.targets
        return f"{target.destination} {target.rule}".strip()


class PatternTests(RulesTest):
    def test_by_recipient(self) -> None:
        router = self.built(
            '[relay.rules.bank]\nrecipients = ["bank.example", "*.branch.example", "boss@corp.example"]\n'
            'via = "route:bank"\n'
        )
        for recipient, expected in (
            ("ann@bank.example", "relay:route:bank bank"),
            ("ann@BANK.example", "relay:route:bank bank"),
            ("ann@sub.bank.example", "relay:mx:sub.bank.example"),
            ("ann@north.branch.example", "relay:route:bank bank"),
            ("ann@deep.north.branch.example", "relay:route:bank bank"),
            ("ann@branch.example", "relay:mx:branch.example"),
            ("ann@xbranch.example", "relay:mx:xbranch.example"),
            ("Boss@corp.example", "relay:route:bank bank"),
            ("clerk@corp.example", "relay:mx:corp.example"),
        ):
            self.assertEqual(self.way(router, recipient), expected, recipient)

    def test_by_sender(self) -> None:
        router = self.built('[relay.rules.news]\nsenders = ["news.example.org"]\nvia = "route:news"\n')
        self.assertEqual(self.way(router, "a@b.example", "x@news.example.org"), "relay:route:news news")
        self.assertEqual(self.way(router, "a@b.example", "x@example.org"), "relay:mx:b.example")
        self.assertEqual(self.way(router, "a@b.example"), "relay:mx:b.example")

    def test_the_null_sender_only_where_it_is_named(self) -> None:
        router = self.built('[relay.rules.reports]\nsenders = ["<>"]\nvia = "route:all"\n')
        self.assertEqual(self.way(router, "a@b.example"), "relay:route:all reports")
        self.assertEqual(self.way(router, "a@b.example", "x@example.org"), "relay:mx:b.example")
        router = self.built('[relay.rules.people]\nsenders = ["*"]\nvia = "route:all"\n')
        self.assertEqual(self.way(router, "a@b.example"), "relay:mx:b.example")
        self.assertEqual(self.way(router, "a@b.example", "x@example.org"), "relay:route:all people")

    def test_by_user(self) -> None:
        router = self.built(
            '[relay.rules.ceo]\nusers = ["boss@example.org"]\nvia = "route:bank"\n'
            '[relay.rules.people]\nusers = ["*"]\nvia = "route:all"\n'
        )
        # Whatever reverse-path is used.
        self.assertEqual(
            self.way(router, "a@b.example", "x@news.example.org", "boss@example.org"), "relay:route:bank ceo"
        )
        self.assertEqual(self.way(router, "a@b.example", "x@example.org", "x@example.org"), "relay:route:all people")
        self.assertEqual(self.way(router, "a@b.example", "boss@example.org"), "relay:mx:b.example")

    def test_an_address_with_a_detail(self) -> None:
        router = self.built(
            '[relay.rules.a]\nsenders = ["alice@example.org", "bob+x@example.org"]\nvia = "route:all"\n'
        )
        for sender, fits in (
            ("alice+list@example.org", True),
            ("alice+list+x@example.org", True),
            ("alice-list@example.org", False),
            ("bob@example.org", False),
            ("bob+x@example.org", True),
        ):
            self.assertEqual("all" in self.way(router, "a@b.example", sender), fits, sender)

    def test_international_domains_in_either_spelling(self) -> None:
        router = self.built('[relay.rules.b]\nrecipients = ["bücher.example", "*.bücher.example"]\nvia = "route:all"\n')
        for domain in ("bücher.example", "xn--bcher-kva.example", "x.xn--bcher-kva.example"):
            self.assertEqual(self.way(router, f"a@{domain}"), "relay:route:all b", domain)

    def test_address_literals(self) -> None:
        router = self.built('[relay.rules.l]\nrecipients = ["[192.0.2.9]"]\nvia = "route:all"\n')
        self.assertEqual(self.way(router, "a@[192.0.2.9]"), "relay:route:all l")
        self.assertEqual(self.way(router, "a@[192.0.2.8]"), "relay:mx:[192.0.2.8]")


class PrecedenceTests(RulesTest):
    def test_the_first_that_fits_in_the_order_of_the_file(self) -> None:
        first, second = (
            f'[relay.rules.{name}]\n{key}\nvia = "route:{name}"\n'
            for name, key in (("news", 'senders = ["example.org"]'), ("bank", 'recipients = ["bank.example"]'))
        )
        self.assertEqual(
            self.way(self.built(first + second), "a@bank.example", "x@example.org"), "relay:route:news news"
        )
        self.assertEqual(
            self.way(self.built(second + first), "a@bank.example", "x@example.org"), "relay:route:bank bank"
        )

    def test_all_that_is_given_must_fit(self) -> None:
        router = self.built(
            '[relay.rules.both]\nrecipients = ["bank.example"]\nsenders = ["example.org"]\nvia = "route:bank"\n'
        )
        self.assertEqual(self.way(router, "a@bank.example", "x@example.org"), "relay:route:bank both")
        self.assertEqual(self.way(router, "a@bank.example", "x@example.net"), "relay:mx:bank.example")
        self.assertEqual(self.way(router, "a@b.example", "x@example.org"), "relay:mx:b.example")

    def test_the_default_is_for_the_rest(self) -> None:
        router = self.built('[relay.rules.direct]\nrecipients = ["near.example"]\nvia = "mx"\n', default="route:all")
        self.assertEqual(self.way(router, "a@near.example"), "relay:mx:near.example direct")
        self.assertEqual(self.way(router, "a@far.example"), "relay:route:all")

    def test_domains_of_ours_go_where_they_say(self) -> None:
        router = self.built(
            '[relay.rules.all]\nrecipients = ["*"]\nvia = "route:all"\n',
            more='[domains."plants.example"]\ndeliver = "route:bank"\n',
        )
        self.assertEqual(self.way(router, "a@plants.example"), "relay:route:bank")
        self.assertEqual(self.way(router, "alice@example.org"), "maildir:alice@example.org")


class ForwardTests(RulesTest):
    ALIASES = "out@example.org: bob@far.example\n"

    def test_forwarded_mail_counts_under_the_return_path_that_it_gets(self) -> None:
        rules = '[relay.rules.ours]\nsenders = ["example.org"]\nvia = "route:all"\n'
        router = self.built(rules, self.ALIASES)
        self.assertEqual(self.way(router, "out@example.org", "x@stranger.example"), "forward:route:all ours")
        self.assertEqual(self.way(router, "out@example.org", "alice@example.org"), "forward:route:all ours")
        # A report has none.
        self.assertEqual(self.way(router, "out@example.org"), "forward:mx:far.example")

    def test_by_the_domain_of_return_paths(self) -> None:
        rules = '[relay.rules.srs]\nsenders = ["bounces.example.org"]\nvia = "route:all"\n'
        domains = '[domains."bounces.example.org"]\n[forwarding]\nsrs_domain = "bounces.example.org"\n'
        router = self.built(rules, self.ALIASES, more=domains)
        self.assertEqual(self.way(router, "out@example.org", "x@stranger.example"), "forward:route:all srs")

    def test_by_where_it_leads(self) -> None:
        rules = '[relay.rules.far]\nrecipients = ["far.example"]\nvia = "route:bank"\n'
        router = self.built(rules, self.ALIASES, default="route:all")
        self.assertEqual(self.way(router, "out@example.org", "x@stranger.example"), "forward:route:bank far")

    def test_the_default_without_rules(self) -> None:
        router = self.built("", self.ALIASES, default="route:all")
        self.assertEqual(self.way(router, "out@example.org", "x@stranger.example"), "forward:route:all")
