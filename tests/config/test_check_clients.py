"""What [rates], networks and the limits of clients may say."""

from __future__ import annotations

from mailgw.config.check_clients import check_clients
from mailgw.config.schema import DEFAULT_RATES, Settings
from tests.config.files import BASE, ConfigurationTest


class MessagesTest(ConfigurationTest):
    def wrong_in(self, text: str) -> dict[str, str]:
        """What is wrong in a file, by the path of the key."""
        return {key: error.message for key, error in self.errors(text).items()}


class TlsPolicyTests(MessagesTest):
    def test_domains_and_all_below_one(self) -> None:
        settings = self.settings(
            BASE + '[tls_policies."bank.example"]\n[tls_policies."*.x.example"]\ntls = "required"\n'
        )
        self.assertEqual([policy.tls for policy in settings.tls_policies.values()], ["verified", "required"])

    def test_what_is_no_domain(self) -> None:
        for name in ("*", "*.", "a b", "mx.*.example"):
            wrong = self.wrong_in(f'{BASE}\n[tls_policies."{name}"]\n')
            (message,) = wrong.values()
            self.assertIn('is neither a domain nor "*." and a domain', message, name)


class RateTests(MessagesTest):
    def wrong(self, text: str, name: str = "x") -> dict[str, str]:
        return self.wrong_in(f"{BASE}\n[rates.{name}]\n{text}\n")

    def test_rates_for_each_class_of_users(self) -> None:
        settings = self.settings(
            BASE
            + """
[rates.people]
counts = "recipients"
key = "user"
limit = 500
period = 86400
only = ["*@example.org"]
listeners = ["submission"]

[rates.newsletter]
counts = "recipients"
key = "user"
limit = 100000
period = 86400
only = ["news@bulk.example.org", "*@applications.example.org"]

[rates.user_recipients]
limit = 0

[rates.partner]
counts = "connections"
limit = 10
only = ["192.0.2.0/24", "2001:db8::/32", "203.0.113.7"]
"""
        )
        self.assertEqual(settings.rates["people"].only, ("*@example.org",))

    def test_the_defaults_are_right(self) -> None:
        self.assertEqual(list(check_clients(Settings(rates=DEFAULT_RATES))), [])

    def test_a_key_that_is_not_known_when_it_is_counted(self) -> None:
        self.assertIn('"connections"', self.wrong('counts = "connections"\nkey = "user"\nlimit = 1')["rates.x.key"])
        self.assertIn("recipient", self.wrong('key = "recipient"\nlimit = 1')["rates.x.key"])

    def test_nobody_can_lock_others_out_with_wrong_passwords(self) -> None:
        for key in ("user", "all"):
            errors = self.wrong(f'counts = "auth_failures"\nkey = "{key}"\nlimit = 5')
            self.assertIn('possible: "address", "network"', errors["rates.x.key"])

    def test_users_are_on_submission_listeners(self) -> None:
        errors = self.wrong('key = "user"\nlimit = 5\nlisteners = ["mx"]')
        self.assertIn("authenticated users", errors["rates.x.listeners"])
        errors = self.wrong('counts = "auth_failures"\nlimit = 5\nlisteners = ["mx", "lmtp"]')
        self.assertIn("authenticated users", errors["rates.x.listeners"])

    def test_patterns(self) -> None:
        errors = self.wrong('limit = 5\nonly = ["192.0.2.1/24", "example.org"]')
        self.assertIn('write "192.0.2.0/24"', errors["rates.x.only[0]"])
        self.assertIn("is no network", errors["rates.x.only[1]"])
        errors = self.wrong('key = "sender_domain"\nlimit = 5\nonly = ["a@example.org", "", "*.example.org"]')
        self.assertEqual(set(errors), {"rates.x.only[0]", "rates.x.only[1]"})
        errors = self.wrong('key = "sender"\nlimit = 5\nonly = ["example.org", "a@example.org", "*"]')
        self.assertIn('"*@example.org"', errors["rates.x.only[0]"])
        self.assertEqual(len(errors), 1)
        self.assertIn("rates.x.only", self.wrong('key = "all"\nlimit = 5\nonly = ["x"]'))

    def test_a_rate_that_does_nothing_or_something_else(self) -> None:
        self.assertIn("rates.x.limit", self.wrong('counts = "connections"'))
        self.assertEqual(self.settings(f"{BASE}\n[rates.messages]\nlimit = 0\n").rates["messages"].limit, 0)
        errors = self.wrong("limit = 120", "connections")
        self.assertIn('write counts = "connections"', errors["rates.connections.counts"])

    def test_bounds(self) -> None:
        errors = self.wrong("limit = -1\nperiod = 0")
        self.assertEqual(set(errors), {"rates.x.limit", "rates.x.period"})


class LimitTests(MessagesTest):
    def test_own_networks(self) -> None:
        errors = self.wrong_in('own_networks = ["10.0.0.1/8", "10.0.0.0/8", "here"]\n' + BASE)
        self.assertIn('write "10.0.0.0/8"', errors["own_networks[0]"])
        self.assertIn("is no network", errors["own_networks[2]"])
        self.assertEqual(len(errors), 2)

    def test_networks_of_listeners(self) -> None:
        for key in ("proxy_networks", "xclient_networks", "normalise_networks"):
            listener = f'[listeners.second]\naddresses = ["127.0.0.1:2525"]\ntls = "none"\n{key} = ["10.0.0.1", "x"]\n'
            errors = self.wrong_in(f"{BASE}\n{listener}")
            self.assertEqual(set(errors), {f"listeners.second.{key}[1]"})

    def test_limits_that_contradict_each_other(self) -> None:
        errors = self.wrong_in(
            BASE + "\n[limits]\nconnections_per_address = 100\n[timeouts]\ncommand = 20\ncommand_under_load = 30\n"
        )
        self.assertEqual(set(errors), {"limits.connections_per_address", "timeouts.command_under_load"})
