"""A session whose attempt failed inside stayed open for ever: no pool knew it, and no timer ran."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from twisted.internet.defer import Deferred

from mailgw.config import schema
from mailgw.delivery import opening
from mailgw.mail.message import FileContent, Message
from mailgw.queue.item import Delayed, Outcome
from tests.delivery.peers import PLAIN_EHLO, queued
from tests.delivery.test_relay import RelayTestCase


class RelayLeakTests(RelayTestCase):
    def test_content_that_is_gone_when_8bitmime_is_not_offered(self) -> None:
        peer = self.peer(EHLO=PLAIN_EHLO)
        attempt: Deferred[Sequence[Outcome]] = self.start(
            evolve(queued(), message=Message(FileContent("/nonexistent/content", 20), b""))
        )
        (outcome,) = self.successResultOf(attempt)
        self.assertIsInstance(outcome, Delayed)
        self.network.advance(60)  # nobody has another message for the session
        self.network.run()
        self.assertEqual(peer.open, 0)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_password_that_cannot_be_sent(self) -> None:
        peer = self.peer(EHLO=b"250-mx\r\n250 AUTH PLAIN\r\n")
        password = self.mktemp()
        with open(password, "w") as file:
            file.write("nul\0inside")
        self.routes["hop"] = schema.Route(hosts=("192.0.2.1",), username="us", password_file=password)
        # As if TLS were up: the peers in memory have none.
        self.patch(opening, "_start_tls", self.tls_is_up)
        self.failureResultOf(self.start(), ValueError)
        self.network.run()
        self.assertEqual(peer.open, 0)
        self.assertEqual(self.network.getDelayedCalls(), [])

    @staticmethod
    async def tls_is_up(connection: opening.SmtpConnection, *rest: object) -> None:
        connection.tls = "TLSv1.3"
