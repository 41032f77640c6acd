"""What is said of ways out that cannot be."""

from __future__ import annotations

from tests.config.files import BASE, ConfigurationTest

ROUTE = '[routes.smart]\nhosts = ["192.0.2.1"]\n'


class RuleTests(ConfigurationTest):
    def wrong(self, text: str, key: str) -> str:
        found = self.errors(BASE + text + ROUTE)
        self.assertEqual(list(found), [key])
        self.assertGreater(found[key].line, 0)
        return found[key].message

    def test_a_route_that_is_not_there(self) -> None:
        message = self.wrong('[relay.rules.a]\nusers = ["*"]\nvia = "route:smrat"\n', "relay.rules.a.via")
        self.assertEqual(message, 'there is no [routes.smrat]; did you mean "smart"?; the routes are: smart')

    def test_no_way(self) -> None:
        self.assertIn("not set", self.wrong('[relay.rules.a]\nusers = ["*"]\n', "relay.rules.a.via"))

    def test_another_word(self) -> None:
        message = self.wrong('[relay.rules.a]\nusers = ["*"]\nvia = "smart"\n', "relay.rules.a.via")
        self.assertEqual(message, 'expected "mx" or "route:NAME", got "smart"')

    def test_a_rule_for_nothing(self) -> None:
        self.assertIn("default", self.wrong('[relay.rules.a]\nvia = "mx"\n', "relay.rules.a"))

    def test_no_pattern(self) -> None:
        for text in ("@example.net", "*example.net", "a b", "", "*.", "x@"):
            message = self.wrong(
                f'[relay.rules.a]\nrecipients = ["b.example", "{text}"]\nvia = "mx"\n', "relay.rules.a.recipients[1]"
            )
            self.assertIn(f'"{text}" is no domain', message)

    def test_the_null_path_is_only_a_sender(self) -> None:
        self.settings(BASE + '[relay.rules.a]\nsenders = ["<>"]\nvia = "mx"\n')
        self.wrong('[relay.rules.a]\nrecipients = ["<>"]\nvia = "mx"\n', "relay.rules.a.recipients[0]")

    def test_a_domain_of_ours_is_not_outside(self) -> None:
        for text in ("Example.org", "alice@example.org"):
            message = self.wrong(
                f'[relay.rules.a]\nrecipients = ["{text}"]\nvia = "mx"\n', "relay.rules.a.recipients[0]"
            )
            self.assertIn('`deliver` of [domains."example.org"]', message)

    def test_an_unknown_key(self) -> None:
        message = self.wrong(
            '[relay.rules.a]\nrecipient = ["b.example"]\nusers = ["*"]\nvia = "mx"\n', "relay.rules.a.recipient"
        )
        self.assertIn('did you mean "recipients"?', message)


class LocalEndTests(ConfigurationTest):
    def test_source_addresses(self) -> None:
        self.settings(BASE + '[relay]\nsource_addresses = ["192.0.2.1", "2001:db8::1"]\nhelo = "out.example.org"\n')
        for addresses, number, words in (
            ('"192.0.2.1", "192.0.2.2"', 1, '"192.0.2.2" is a second one of IPv4, beside 192.0.2.1'),
            ('"192.0.2"', 0, '"192.0.2" is not an IP address'),
            ('"0.0.0.0"', 0, "the system chooses"),
        ):
            for section in ("relay", "routes.smart"):
                text = f"{BASE}[{section}]\nsource_addresses = [{addresses}]\n"
                text += 'hosts = ["192.0.2.1"]\n' if section != "relay" else ""
                found = self.errors(text)
                self.assertEqual(list(found), [f"{section}.source_addresses[{number}]"])
                self.assertIn(words, next(iter(found.values())).message)

    def test_a_name_that_is_none(self) -> None:
        for name in ("192.0.2.1", "a b", "[192.0.2.1]"):
            self.assertEqual(list(self.errors(f'{BASE}[relay]\nhelo = "{name}"\n')), ["relay.helo"])


class StoreTests(ConfigurationTest):
    """Routes to a mail store by LMTP."""

    def route(self, more: str, hosts: str = '"unix:/run/dovecot/lmtp"') -> str:
        return f"{BASE}[routes.store]\nhosts = [{hosts}]\n{more}\n"

    def test_a_socket(self) -> None:
        settings = self.settings(self.route('protocol = "lmtp"\nspam_suffix = "+Spam"'))
        self.assertEqual(settings.routes["store"].hosts, ("unix:/run/dovecot/lmtp",))

    def test_what_a_socket_cannot_have(self) -> None:
        for more, key in (
            ("", "protocol"),
            ('protocol = "lmtp"\ntls = "verified"', "tls"),
            ('protocol = "lmtp"\nusername = "us"\npassword_file = "p"', "username"),
        ):
            self.assertEqual(list(self.errors(self.route(more))), [f"routes.store.{key}"])

    def test_a_path_has_to_be_whole(self) -> None:
        found = self.errors(self.route('protocol = "lmtp"', '"unix:lmtp"'))
        self.assertIn('write "unix:/run/dovecot/lmtp"', found["routes.store.hosts[0]"].message)

    def test_a_path_that_no_socket_can_have(self) -> None:
        found = self.errors(self.route('protocol = "lmtp"', f'"unix:/{"x" * 107}"'))
        self.assertIn("longer than the 107 octets", found["routes.store.hosts[0]"].message)
        self.settings(self.route('protocol = "lmtp"', f'"unix:/{"x" * 106}"'))

    def test_suffixes_that_are_none(self) -> None:
        for text in ("Spam", "+", "+Spam@other.example", "+Spam folder", ".Spam"):
            found = self.errors(self.route(f'protocol = "lmtp"\nspam_suffix = "{text}"'))
            self.assertEqual(list(found), ["routes.store.spam_suffix"], text)
