"""Forwarding: whose return path the next hop sees."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.forward import ForwardAgent
from mailgw.mail.address import Mailbox
from mailgw.queue.item import Delivered, Delivery, Destination, Outcome, QueuedMessage
from mailgw.routing.srs import Srs
from tests.delivery.peers import deliveries, queued


class Relay:
    max_recipients = 7

    def __init__(self) -> None:
        self.senders: list[Mailbox | None] = []

    async def site(self, destination: Destination) -> str:
        return f"the site of {destination.target}"

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        self.senders.append(message.envelope.reverse_path)
        return [Delivered("there") for _ in deliveries]

    async def close(self) -> None:
        raise AssertionError("it is not ours to close")


class ForwardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.srs = Srs("ours.example", lambda: 1e9, [b"a secret of the test"])
        self.agent = ForwardAgent(self.relay, self.srs, lambda domain: domain == "ours.example")

    def sender(self, reverse_path: str | None) -> Mailbox | None:
        outcomes = self.successResultOf(
            Deferred.fromCoroutine(
                self.agent.deliver(queued(reverse_path=reverse_path), deliveries("mx:x.example", ["a@x", "b@x"]))
            )
        )
        self.assertEqual(outcomes, [Delivered("there")] * 2)
        return self.relay.senders[-1]

    def test_of_others_it_is_ours(self) -> None:
        sender = self.sender("bob@example.net")
        assert sender is not None
        self.assertEqual(self.srs.reverse(sender), Mailbox("bob", "example.net"))

    def test_our_own_and_the_null_one_stay(self) -> None:
        self.assertEqual(self.sender("alice@ours.example"), Mailbox("alice", "ours.example"))
        self.assertIsNone(self.sender(None))

    def test_the_rest_is_the_relays(self) -> None:
        self.assertEqual(self.agent.max_recipients, 7)
        site = self.successResultOf(Deferred.fromCoroutine(self.agent.site(Destination("forward", "mx:x.example"))))
        self.assertEqual(site, "the site of mx:x.example")
        self.successResultOf(Deferred.fromCoroutine(self.agent.close()))
