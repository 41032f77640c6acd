"""Recipients of routed domains: what the client is told of what the next hop said."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.routing.interface import Verification
from tests.reception.harness import Peer, Server, codes

SECRET = "back.internal.example said: 550 5.1.1 no user jim in cn=people"


class VerificationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()

    def begin(self) -> Peer:
        peer = self.server.connect()
        peer.say("EHLO client.example", "MAIL FROM:<a@b.example>")
        return peer

    def test_the_next_hop_takes_it(self) -> None:
        peer = self.begin()
        self.assertEqual(codes(peer.say("RCPT TO:<joe@routed.example>")), ["250"])
        self.assertEqual(self.server.verifier.asked, [Mailbox("joe", "routed.example")])

    def test_the_next_hop_does_not_know_it(self) -> None:
        self.server.verifier.verification = Verification(False, "5.1.1", SECRET)
        peer = self.begin()
        with capturedLogs() as events:
            reply = peer.say("RCPT TO:<jim@routed.example>")
        self.assertEqual(reply, "550 5.1.1 <jim@routed.example> is unknown here: please check the address\r\n")
        (event,) = [event for event in events if event.get("event") == "recipient_refused"]
        self.assertEqual(event["reason"], SECRET)

    def test_a_mailbox_that_is_full(self) -> None:
        self.server.verifier.verification = Verification(False, "5.2.2", SECRET)
        self.assertEqual(
            self.begin().say("RCPT TO:<jim@routed.example>"), "550 5.2.2 <jim@routed.example> cannot take mail\r\n"
        )

    def test_nobody_can_say_now(self) -> None:
        self.server.verifier.verification = Verification(None, "", SECRET)
        peer = self.begin()
        reply = peer.say("RCPT TO:<jim@routed.example>")
        self.assertEqual(reply, "451 4.4.3 <jim@routed.example> cannot be verified now, please try again later\r\n")
        self.assertEqual(codes(peer.say("RCPT TO:<alice@ours.example>")), ["250"])

    def test_a_list_that_is_not_there_yet(self) -> None:
        self.assertTrue(self.begin().say("RCPT TO:<jim@listed.example>").startswith("451 4.4.3 "))
        self.assertEqual(self.server.verifier.asked, [])

    def test_mailboxes_here_and_strangers_are_not_asked_about(self) -> None:
        peer = self.begin()
        peer.say("RCPT TO:<alice@ours.example>", "RCPT TO:<nobody@ours.example>", "RCPT TO:<x@outside.example>")
        self.assertEqual(self.server.verifier.asked, [])

    def test_unknown_recipients_end_the_session(self) -> None:
        self.server.verifier.verification = Verification(False, "5.1.1")
        peer = self.begin()
        replies = "".join(peer.say(f"RCPT TO:<x{n}@routed.example>") for n in range(5))
        self.assertEqual(codes(replies)[-1], "421")

    def test_while_it_is_asked_the_client_waits_and_the_replies_stay_in_order(self) -> None:
        self.server.verifier.pending = pending = Deferred()
        peer = self.begin()
        rcpt = "RCPT TO:<joe@routed.example>"
        self.assertEqual(peer.say(rcpt, "RCPT TO:<nobody@ours.example>", "RCPT TO:<alice@ours.example>"), "")
        self.assertEqual(peer.say("NOOP"), "")
        self.assertEqual(peer.transport.producerState, "paused")
        self.server.verifier.pending = None
        pending.callback(None)
        self.assertEqual(codes(peer.replies()), ["250", "550", "250", "250"])
        self.assertEqual(peer.transport.producerState, "producing")

    def test_the_client_leaves_meanwhile(self) -> None:
        self.server.verifier.pending = pending = Deferred()
        peer = self.begin()
        peer.say("RCPT TO:<joe@routed.example>")
        peer.transport.loseConnection()
        pending.callback(None)
        self.assertEqual(len(self.server.sessions), 0)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])
