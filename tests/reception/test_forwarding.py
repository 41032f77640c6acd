"""What is forwarded outside, and what is not."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.dmarc import DmarcEvaluation, PublishedPolicy
from mailgw.mail.envelope import Recipient
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import Delivery, Destination
from mailgw.queue.quarantine import is_held, release
from mailgw.reception.forwarding import for_outside

ZOE = Delivery(
    "ID", 0, Recipient(Mailbox("zoe", "outside.example")), Destination("forward", "mx:outside.example"), 10, 20
)
ALICE = Delivery(
    "ID", 1, Recipient(Mailbox("alice", "ours.example")), Destination("maildir", "alice@ours.example"), 10, 20
)
HOME = Delivery("ID", 2, Recipient(Mailbox("bob", "ours.example")), Destination("relay", "route:home"), 10, 20)


def verdict(action: Any) -> Verdict:
    return Verdict(action, 0.0, (), "")


class ForwardingTests(SynchronousTestCase):
    def evaluation(self, **facts: Any) -> DmarcEvaluation:
        published = PublishedPolicy("example.net", "reject", "reject", "reject")
        one = DmarcEvaluation("example.net", published, "pass", "reject", dkim=False, spf=True)
        return evolve(one, **facts)

    def agents(self, action: str, *dmarc: DmarcEvaluation) -> list[str]:
        return [d.destination.agent for d in for_outside((ZOE, ALICE, HOME), verdict(action), dmarc, 99.0)]

    def test_clean_mail(self) -> None:
        self.assertEqual(for_outside((ZOE, ALICE), verdict("inbox"), (), 99.0), (ZOE, ALICE))

    def test_spam_is_held_and_can_be_released(self) -> None:
        held, *others = for_outside((ZOE, ALICE, HOME), verdict("spam"), (), 99.0)
        self.assertTrue(is_held(held))
        self.assertEqual((held.due, held.last), (99.0, "spam is not forwarded to the outside"))
        self.assertEqual(release(held, 30.0, 60.0).destination, ZOE.destination)
        self.assertEqual(others, [ALICE, HOME])

    def test_what_only_spf_proves(self) -> None:
        for policy in ("reject", "quarantine"):
            agents = self.agents("inbox", self.evaluation(policy=policy))
            self.assertEqual(agents, ["unforwardable", "maildir", "relay"])

    def test_what_stays_proven(self) -> None:
        for one in (self.evaluation(dkim=True), self.evaluation(policy="none"), self.evaluation(exception="a list")):
            self.assertEqual(self.agents("inbox", one), ["forward", "maildir", "relay"])
