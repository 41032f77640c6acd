"""Delivery to a route that speaks LMTP (RFC 2033)."""

from __future__ import annotations

from attrs import evolve

from mailgw.config import schema
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import Delayed, Delivered, Failed
from tests.delivery.peers import EHLO, HANG_UP, deliveries, queued
from tests.delivery.test_relay import HOP, RelayTestCase

THREE = ["a@example.org", "b@example.org", "c@example.org"]


class LmtpTests(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.routes["store"] = schema.Route(hosts=(HOP,), protocol="lmtp")

    def test_each_recipient_has_its_own_outcome(self) -> None:
        peer = self.peer(LHLO=EHLO, end=b"250 2.0.0 saved\r\n552 5.2.2 mailbox full\r\n451 4.3.0 disk\r\n")
        saved, full, disk = self.deliver(queued(), deliveries("route:store", THREE))
        self.assertIsInstance(saved, Delivered)
        self.assertIsInstance(full, Failed)
        self.assertEqual(full.status, "5.2.2")
        self.assertIsInstance(disk, Delayed)
        self.assertEqual(peer.sessions[0][0], "LHLO gw.example.org")
        self.assertEqual(self.network.ports[HOP], 24)

    def test_the_session_is_used_again(self) -> None:
        peer = self.peer(LHLO=EHLO, end=b"250 2.0.0 saved\r\n")
        for _ in range(2):
            (outcome,) = self.deliver(queued(), deliveries("route:store"))
            self.assertIsInstance(outcome, Delivered)
        self.assertEqual(len(peer.sessions), 1)

    def test_what_was_saved_before_the_session_broke_is_not_sent_again(self) -> None:
        peer = self.peer(LHLO=EHLO, end=b"250 2.0.0 saved\r\n421 4.3.2 going down\r\n")
        saved, down = self.deliver(queued(), deliveries("route:store", THREE[:2]))
        self.assertIsInstance(saved, Delivered)
        self.assertIsInstance(down, Delayed)
        self.assertEqual(len(peer.contents), 1)

    def test_spam_has_an_address_of_its_own_where_the_store_has_one(self) -> None:
        self.routes["store"] = schema.Route(hosts=(HOP,), protocol="lmtp", spam_suffix="+Spam")
        addresses = ["a@example.org", "b+news@example.org"]
        peer = self.peer(LHLO=EHLO, end=b"250 2.0.0 saved\r\n250 2.0.0 saved\r\n")
        for action, names in (("spam", ["a+Spam", "b+Spam"]), ("inbox", ["a", "b+news"])):
            judged = evolve(queued(), verdict=Verdict(action, 0.0, (), ""))  # type: ignore[arg-type]
            for outcome in self.deliver(judged, deliveries("route:store", addresses)):
                self.assertIsInstance(outcome, Delivered)
            taken = [line for line in peer.sessions[-1] if line.startswith("RCPT")][-2:]
            self.assertEqual(taken, [f"RCPT TO:<{name}@example.org>" for name in names])

    def test_spam_goes_to_who_is_not_known_with_the_suffix(self) -> None:
        """It failed, and nobody was told: a store that lacks one line of configuration lost all spam."""
        self.routes["store"] = schema.Route(hosts=(HOP,), protocol="lmtp", spam_suffix="+Spam")
        unknown, known, saved = b"550 5.1.1 unknown\r\n", b"250 2.1.5 ok\r\n", b"250 2.0.0 saved\r\n"
        peer = self.peer(LHLO=EHLO, RCPT=[known, unknown, unknown, known, unknown], end=saved)
        judged = evolve(queued(), verdict=Verdict("spam", 0.0, (), ""))
        one, other, stranger = self.deliver(judged, deliveries("route:store", THREE))
        self.assertIsInstance(one, Delivered)
        self.assertIsInstance(other, Delivered)
        self.assertEqual((type(stranger), stranger.status), (Failed, "5.1.1"))
        self.assertEqual(len(peer.contents), 2)
        (commands,) = peer.sessions
        names = [line[len("RCPT TO:<") :].partition("@")[0] for line in commands if line.startswith("RCPT")]
        self.assertEqual(names, ["a+Spam", "b+Spam", "c+Spam", "b", "c"])

    def test_where_nobody_is_known_with_the_suffix(self) -> None:
        self.routes["store"] = schema.Route(hosts=(HOP,), protocol="lmtp", spam_suffix="+Spam")
        no = b"503 5.5.1 no recipients\r\n"
        peer = self.peer(LHLO=EHLO, RCPT=[b"550 unknown\r\n", b"250 2.1.5 ok\r\n"], DATA=[no, b"354 go\r\n"])
        judged = evolve(queued(), verdict=Verdict("spam", 0.0, (), ""))
        (outcome,) = self.deliver(judged, deliveries("route:store", THREE[:1]))
        self.assertIsInstance(outcome, Delivered)
        self.assertEqual(len(peer.contents), 1)

    def test_a_full_mailbox_is_full_without_the_suffix_too(self) -> None:
        self.routes["store"] = schema.Route(hosts=(HOP,), protocol="lmtp", spam_suffix="+Spam")
        peer = self.peer(LHLO=EHLO, RCPT=b"552 5.2.2 full\r\n")
        judged = evolve(queued(), verdict=Verdict("spam", 0.0, (), ""))
        (outcome,) = self.deliver(judged, deliveries("route:store", ["a@example.org"]))
        self.assertEqual(outcome.status, "5.2.2")
        self.assertEqual(
            [line for line in peer.sessions[-1] if line.startswith("RCPT")], ["RCPT TO:<a+Spam@example.org>"]
        )

    def test_spam_that_was_released_goes_outside_under_its_own_address(self) -> None:
        """One smarthost may be the store's and the way out."""
        self.routes["store"] = schema.Route(hosts=(HOP,), spam_suffix="+Spam")
        peer = self.peer()
        judged = evolve(queued(), verdict=Verdict("spam", 0.0, (), ""))
        (forwarded,) = deliveries("route:store", ["x@outside.example"])
        forwarded = evolve(forwarded, destination=evolve(forwarded.destination, agent="forward"))
        self.assertIsInstance(self.deliver(judged, [forwarded])[0], Delivered)
        self.assertIn("RCPT TO:<x@outside.example>", peer.sessions[-1])

    def test_smtp_is_no_way_out(self) -> None:
        """A host that does not know LHLO is not greeted with HELO: it would give one reply for all."""
        peer = self.peer(LHLO=b"500 5.5.1 unknown\r\n")
        (outcome,) = self.deliver(queued(), deliveries("route:store"))
        self.assertIsInstance(outcome, Delayed)
        self.assertNotIn("HELO gw.example.org", [command for session in peer.sessions for command in session])

    def test_hangs_up_after_the_content(self) -> None:
        self.peer(LHLO=EHLO, end=HANG_UP)
        (outcome,) = self.deliver(queued(), deliveries("route:store"))
        self.assertIsInstance(outcome, Delayed)
