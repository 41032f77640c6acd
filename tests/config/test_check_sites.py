"""What is wrong with [sites], said with its place."""

from __future__ import annotations

from tests.config.files import BASE, ConfigurationTest

ROUTE = '[routes.smart]\nhosts = ["192.0.2.1"]\n'


class CheckSitesTests(ConfigurationTest):
    def test_what_is_right(self) -> None:
        names = ("mx.big.example", "*.big.example", "route:smart", "*")
        text = "".join(f'[sites."{name}"]\nmessages = 100\n' for name in names)
        self.assertEqual(tuple(self.settings(BASE + ROUTE + text).sites), names)

    def test_a_route_that_is_not_there(self) -> None:
        found = self.errors(BASE + ROUTE + '[sites."route:smrat"]\nconcurrency = 1\n')
        self.assertIn('did you mean "smart"?', found['sites."route:smrat"'].message)

    def test_no_host(self) -> None:
        found = self.errors(BASE + '[sites."big example"]\nconcurrency = 1\n')
        self.assertIn("no MX host", found['sites."big example"'].message)
