"""Users and aliases that change while the gateway runs."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from mailgw.config.errors import ConfigurationErrors
from mailgw.mail.address import Mailbox
from mailgw.operation.threads import ThreadsInline
from mailgw.routing.current import CurrentRouter, routing_files
from mailgw.routing.load import load_router
from mailgw.routing.users import set_user
from tests.routing.files import HASH, RoutingTest


class CurrentRouterTests(RoutingTest):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.write("users", f"alice@example.org:{HASH}\n")
        self.write("aliases", "")
        self.read = self.settings()
        self.current = self.make()

    def make(self) -> CurrentRouter:
        return CurrentRouter(
            routing_files(self.read),
            lambda: load_router(self.read, str(self.folder / "mailgw.toml")),
            self.clock,
            ThreadsInline(),
        )

    def known(self, address: str) -> bool:
        return self.destinations(self.current, address) is not None

    def test_a_new_user_has_a_mailbox_without_a_restart(self) -> None:
        self.current.start()
        self.addCleanup(self.current.stop)
        self.assertFalse(self.known("carol@example.org"))
        set_user(str(self.folder / "users"), Mailbox.parse("carol@example.org"), HASH)
        self.clock.advance(2)
        self.assertTrue(self.known("carol@example.org"))
        self.assertTrue(self.current.is_ours("example.org"))

    def test_after_stop_nothing_is_looked_at(self) -> None:
        self.current.start()
        self.current.stop()
        self.current.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_broken_file_changes_nothing_and_is_logged_once(self) -> None:
        self.current.start()
        self.addCleanup(self.current.stop)
        self.write("aliases", "team: nobody\n")
        with capturedLogs() as events:
            self.clock.advance(2)
            self.clock.advance(2)
        (event,) = [event for event in events if event["log_level"] == LogLevel.error]
        self.assertEqual(event["event"], "routing_refused")
        self.assertIn("aliases:1: team@example.org: nobody@example.org is no mailbox here", event["problem"])
        self.assertTrue(self.known("alice@example.org"))
        self.write("aliases", "team: alice\n")
        self.clock.advance(2)
        self.assertTrue(self.known("team@example.org"))

    def test_a_file_that_goes_away_changes_nothing(self) -> None:
        (self.folder / "users").unlink()
        self.successResultOf(Deferred.fromCoroutine(self.current.refresh()))
        self.assertTrue(self.known("alice@example.org"))

    def test_what_is_wrong_at_first_is_raised(self) -> None:
        self.write("aliases", "team: nobody\n")
        self.assertRaises(ConfigurationErrors, self.make)
