"""`mailgw route`: which way mail goes, without sending any."""

from __future__ import annotations

import time

from mailgw.mail.address import Mailbox
from mailgw.routing.srs import Srs
from tests.commands.files import CommandTest
from tests.config.files import BASE
from tests.routing.files import HASH

MORE = """
[domains."plants.example"]
deliver = "route:plants"
call_ahead = true
[relay.rules.bank]
recipients = ["bank.example"]
senders = ["example.org"]
via = "route:smart"
[relay.rules."of users"]
users = ["*"]
via = "route:smart"
[routes.smart]
hosts = ["smtp1.example.net:587", "smtp2.example.net:587"]
[routes.plants]
hosts = ["192.0.2.1"]
"""


class RouteTests(CommandTest):
    def setUp(self) -> None:
        super().setUp()
        self.write("mailgw.toml", f'state_directory = "state"\nrules_file = ""\n{BASE}{MORE}')
        self.write("users", f"alice@example.org:{HASH}\n")
        self.write("aliases", "sales@example.org: alice@example.org, bob@far.example\n")

    def test_outside(self) -> None:
        for arguments, destination, by in (
            (("ann@far.example",), "relay:mx:far.example", "[relay] default"),
            (("ann@bank.example", "--from", "x@example.org"), "relay:route:smart", "[relay.rules.bank]"),
            (("ann@bank.example",), "relay:mx:bank.example", "[relay] default"),
            (("ann@far.example", "--user", "alice@example.org"), "relay:route:smart", '[relay.rules."of users"]'),
            (
                ("ann@far.example", "--user", "alice@example.org", "--from", "<>"),
                "relay:route:smart",
                '[relay.rules."of users"]',
            ),
        ):
            (line,) = self.json_lines("route", "--json", *arguments)
            self.assertEqual((line["destination"], line["by"]), (destination, by), arguments)

    def test_the_sender_is_the_user_where_none_is_named(self) -> None:
        (line,) = self.json_lines("route", "--json", "ann@bank.example", "--user", "alice@example.org")
        self.assertEqual(line["by"], "[relay.rules.bank]")

    def test_ours(self) -> None:
        lines = self.json_lines("route", "--json", "alice@example.org", "sales@example.org", "x@plants.example")
        self.assertEqual(
            [(line["address"], line["destination"], line["by"]) for line in lines],
            [
                ("alice@example.org", "maildir:alice@example.org", "a mailbox here"),
                ("alice@example.org", "maildir:alice@example.org", "an alias for sales@example.org"),
                ("bob@far.example", "forward:mx:far.example", "an alias for sales@example.org, [relay] default"),
                (
                    "x@plants.example",
                    "relay:route:plants",
                    '[domains."plants.example"] deliver, if its next hop says that it knows the address (call_ahead)',
                ),
            ],
        )

    def test_a_return_path_of_forwarded_mail(self) -> None:
        path = str(Srs("example.org", time.time, [b"a secret of the tests"]).forward(Mailbox("bob", "far.example")))
        self.run_command("route", path, code=1)  # nobody knows it without the secret
        (self.folder / "state").mkdir()
        self.write("state/srs.secret", "a secret of the tests\n")
        (line,) = self.json_lines("route", "--json", path)
        self.assertEqual((line["address"], line["destination"]), ("bob@far.example", "relay:mx:far.example"))
        self.assertEqual(line["by"], "a return path of ours, for reports only, [relay] default")
        output = self.run_command("route", path.replace("bob", "eve"), code=1).output
        self.assertIn("its signature is not ours", output)

    def test_the_hosts_of_a_route(self) -> None:
        output = self.run_command("route", "ann@far.example", "--user", "alice@example.org").output
        self.assertIn("from alice@example.org, user alice@example.org\n", output)
        self.assertLess(output.index("smtp1.example.net:587"), output.index("smtp2.example.net:587"))

    def test_an_unknown_recipient_ends_with_1(self) -> None:
        output = self.run_command("route", "nobody@example.org", "alice@example.org", code=1).output
        self.assertIn("refused", output)
        self.assertIn("no user, no alias and no catch-all for nobody@example.org", output)
        self.assertIn("maildir:alice@example.org", output)

    def test_no_address(self) -> None:
        for arguments in (("nobody",), ("a@b.example", "--from", "x"), ("a@b.example", "--user", "x")):
            self.assertIn('" is not an address: ', self.run_command("route", *arguments, code=2).output)

    def test_a_configuration_that_is_wrong(self) -> None:
        self.write("aliases", "sales@example.org: nobody@example.org\n")
        self.assertIn("aliases:1: sales@example.org", self.run_command("route", "a@b.example", code=1).output)
