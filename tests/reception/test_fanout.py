"""Which deliveries follow from the recipients, and what becomes of their NOTIFY and ORCPT (RFC 3461 5.2.7)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import Delivery, Destination
from mailgw.reception.fanout import deliveries
from mailgw.routing.interface import Routed, Target

INBOX = Verdict("inbox", 0.0, (), "")
SPAM = Verdict("spam", 9.0, (), "")


def target(address: str) -> Target:
    mailbox = Mailbox.parse(address)
    agent = "maildir" if mailbox.domain == "ours.example" else "relay"
    return Target(mailbox, Destination(agent, address if agent == "maildir" else f"mx:{mailbox.domain}"))


def fan_out(*ways: tuple[Recipient, list[str]], verdict: Verdict = INBOX) -> list[Delivery]:
    envelope = Envelope(Mailbox("a", "b.example"), tuple(recipient for recipient, _ in ways))
    routes = [Routed(tuple(map(target, targets)), True) for _, targets in ways]
    return list(deliveries("ID", envelope, routes, verdict, 10.0, 20.0))


def recipient(address: str, *notify: str, orcpt: str = "") -> Recipient:
    return Recipient(Mailbox.parse(address), orcpt, frozenset(notify))


class FanoutTests(SynchronousTestCase):
    def test_a_recipient_as_it_is(self) -> None:
        alice = recipient("alice@ours.example", "SUCCESS", "DELAY", orcpt="rfc822;x@y")
        (delivery,) = fan_out((alice, ["alice@ours.example"]))
        self.assertEqual(delivery.recipient, alice)
        self.assertEqual(str(delivery.destination), "maildir:alice@ours.example/inbox")
        self.assertEqual((delivery.id, delivery.due, delivery.expires), (("ID", 0), 10.0, 20.0))

    def test_spam(self) -> None:
        ways = [
            (recipient("alice@ours.example"), ["alice@ours.example"]),
            (recipient("x@out.example"), ["x@o.example"]),
        ]
        destinations = [str(delivery.destination) for delivery in fan_out(*ways, verdict=SPAM)]
        self.assertEqual(destinations, ["maildir:alice@ours.example/spam", "relay:mx:o.example"])

    def test_one_copy_where_two_lead_to_one(self) -> None:
        ways = [(recipient(name), ["alice@ours.example"]) for name in ("info@ours.example", "alice@ours.example")]
        self.assertEqual(len(fan_out(*ways)), 1)

    def test_alias_with_one_target(self) -> None:
        """The target gets all that was asked, and the address that the sender wrote (RFC 3461 5.2.7.2)."""
        (delivery,) = fan_out((recipient("info@ours.example", "SUCCESS"), ["x@out.example"]))
        self.assertEqual(delivery.recipient, recipient("x@out.example", "SUCCESS", orcpt="rfc822;info@ours.example"))

    def test_original_recipient_of_the_sender_stays(self) -> None:
        (delivery,) = fan_out((recipient("info@ours.example", orcpt="rfc822;first@y"), ["x@out.example"]))
        self.assertEqual(delivery.recipient.orcpt, "rfc822;first@y")

    def test_original_recipient_that_is_not_ascii(self) -> None:
        """RFC 6533 3."""
        (delivery,) = fan_out((recipient("jörg@ours.example"), ["x@out.example"]))
        self.assertEqual(delivery.recipient.orcpt, "utf-8;jörg@ours.example")

    def test_alias_with_several_targets(self) -> None:
        """Its expansion is the success; the targets report failures still (RFC 3461 5.2.7.3)."""
        team = recipient("team@ours.example", "SUCCESS", "FAILURE")
        alice, x, expanded = fan_out((team, ["alice@ours.example", "x@out.example"]))
        self.assertEqual(alice.recipient.notify, {"FAILURE"})
        self.assertEqual(x.recipient.notify, {"FAILURE"})
        self.assertEqual(str(expanded.destination), "alias:team@ours.example")
        self.assertEqual(expanded.recipient, team)
        self.assertEqual([delivery.number for delivery in (alice, x, expanded)], [0, 1, 2])

    def test_who_wanted_success_only_hears_nothing_else(self) -> None:
        team = recipient("team@ours.example", "SUCCESS")
        alice, _, expanded = fan_out((team, ["alice@ours.example", "x@out.example"]))
        self.assertEqual(alice.recipient.notify, {"NEVER"})
        self.assertEqual(expanded.recipient.notify, {"SUCCESS"})

    def test_nothing_is_expanded_for_who_did_not_ask(self) -> None:
        for notify in ((), ("FAILURE",), ("NEVER",)):
            made = fan_out((recipient("team@ours.example", *notify), ["alice@ours.example", "x@out.example"]))
            self.assertEqual([delivery.recipient.notify for delivery in made], [frozenset(notify)] * 2)
