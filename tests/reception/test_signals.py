"""Early signals: what a session notes of a client's manners."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.transaction import Client
from mailgw.reception.networks import host_of
from tests.reception.harness import Peer, Server, codes


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.make()

    def make(self, **settings: object) -> None:
        self.server = Server(**settings)  # type: ignore[arg-type]
        self.successResultOf(Deferred.fromCoroutine(self.server.store.open()))

    def kinds(self, peer: Peer) -> list[str]:
        """Deliver a message politely; give what was noted of the client."""
        for line in ("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@ours.example>", "DATA"):
            peer.say(line)
        self.assertEqual(codes(peer.say("Subject: x", "", "body", ".")), ["250"])
        return [signal.kind for signal in self.client().signals]

    def client(self) -> Client:
        return self.server.judge.transactions[-1].client


class GreetingTests(SignalTests):
    def test_without_a_delay_the_greeting_comes_at_once(self) -> None:
        peer = self.server.connect()
        self.assertEqual(codes(peer.greeting), ["220"])
        self.assertEqual(self.kinds(peer), [])

    def test_an_unknown_host_waits(self) -> None:
        self.make(greeting_delay=5.0)
        peer = self.server.connect()
        self.assertEqual(peer.greeting, "")
        self.server.clock.advance(4.9)
        self.assertEqual(peer.replies(), "")
        self.server.clock.advance(0.1)
        self.assertEqual(codes(peer.replies()), ["220"])
        self.assertEqual(self.kinds(peer), [])

    def test_who_speaks_meanwhile_is_noted_and_answered(self) -> None:
        self.make(greeting_delay=5.0)
        peer = self.server.connect()
        self.assertEqual(codes(peer.say("EHLO c.example")), ["220", "250"])
        self.assertEqual(self.kinds(peer), ["early_talker"])

    def test_known_hosts_do_not_wait(self) -> None:
        self.make(greeting_delay=5.0, own_networks=("192.0.2.0/24",))
        self.assertEqual(codes(self.server.connect("192.0.2.1").greeting), ["220"])
        for _ in range(20):
            self.server.guard._history.note(host_of("198.51.100.1"), True)
        self.assertEqual(codes(self.server.connect("198.51.100.1").greeting), ["220"])
        self.assertEqual(self.server.connect("198.51.100.2").greeting, "")

    def test_who_leaves_meanwhile_leaves_nothing(self) -> None:
        self.make(greeting_delay=5.0)
        self.server.connect().transport.loseConnection()
        self.assertEqual((len(self.server.sessions), self.server.clock.getDelayedCalls()), (0, []))

    def test_a_shutdown_does_not_wait_for_the_greeting(self) -> None:
        self.make(greeting_delay=5.0)
        peer = self.server.connect()
        self.successResultOf(Deferred.fromCoroutine(self.server.sessions.stop(10)))
        self.assertEqual(codes(peer.replies()), ["421"])

    def test_behind_a_balancer_the_delay_is_for_the_client(self) -> None:
        self.make(greeting_delay=5.0, proxy_networks=("10.0.0.1",), own_networks=("10.0.0.0/8",))
        peer = self.server.connect("10.0.0.1")
        self.assertEqual(peer.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 25\r\n"), "")
        self.assertEqual(codes(peer.say("EHLO c.example")), ["220", "250"])


class PipeliningTests(SignalTests):
    def after(self, *groups: tuple[str, ...]) -> list[str]:
        """Send groups of lines, each in one segment; give what is noted of the client in a message after them."""
        peer = self.server.connect()
        for group in groups:
            peer.say(*group)
        peer.say("RSET")
        return self.kinds(peer)

    def test_with_leave(self) -> None:
        envelope = ("MAIL FROM:<a@b.example>", "RCPT TO:<alice@ours.example>", "DATA")
        self.assertEqual(self.after(("EHLO c",), envelope, ("x", ".", *envelope), ("x", ".")), [])
        self.assertEqual(self.after(("EHLO c",), ("RSET", "MAIL FROM:<>", "RSET", "NOOP")), [])
        self.assertEqual(self.after(("HELO c",), ("MAIL FROM:<>",), ("RSET",)), [])

    def test_without(self) -> None:
        for groups in [
            (("EHLO c", "MAIL FROM:<>"),),
            (("HELO c", "MAIL FROM:<>"),),
            (("HELO c",), ("MAIL FROM:<>", "RCPT TO:<alice@ours.example>")),
            (("EHLO c",), ("MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "DATA", "Subject: x", ".")),
            (("EHLO c",), ("NOOP", "NOOP")),
            (("EHLO c",), ("VRFY alice", "RSET")),
            (("MAIL FROM:<>", "RCPT TO:<alice@ours.example>"),),
        ]:
            self.assertEqual(self.after(*groups), ["pipelining"], groups)

    def test_it_is_said_once_and_in_the_log(self) -> None:
        self.assertEqual(self.after(("EHLO c", "NOOP"), ("NOOP", "NOOP"), ("NOOP", "NOOP")), ["pipelining"])
        self.assertIn("EHLO", self.client().signals[0].detail)
