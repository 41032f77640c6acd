"""Routers from texts, for tests."""

from __future__ import annotations

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.mail.address import Mailbox
from mailgw.routing.interface import Routed, Router
from mailgw.routing.load import load_router
from mailgw.routing.router import DirectoryRouter
from tests.config.files import BASE, ConfigurationTest

HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$S8WQ2B7bL8xR7ZzZzZzZzQ"


class RoutingTest(ConfigurationTest):
    """A test that builds routers from the texts of their files."""

    def router(
        self, aliases: str = "", users: str = "alice@example.org bob@example.org", more: str = "", **files: str
    ) -> DirectoryRouter:
        """Build a router: `users` are addresses with space between, `more` is added to mailgw.toml."""
        self.write("users", "".join(f"{user}:{HASH}\n" for user in users.split()))
        self.write("aliases", aliases)
        for name, text in files.items():
            self.write(name, text)
        return load_router(self.settings(BASE + more), str(self.folder / "mailgw.toml"))

    def errors_of(self, *texts: str, **files: str) -> list[ConfigError]:
        found = self.assertRaises(ConfigurationErrors, self.router, *texts, **files)
        return list(found.errors)

    def destinations(self, router: Router, address: str) -> list[str] | None:
        """Where an address leads, or None when it is unknown."""
        found = router.resolve(Mailbox.parse(address))
        return [str(target.destination) for target in found.targets] if isinstance(found, Routed) else None
