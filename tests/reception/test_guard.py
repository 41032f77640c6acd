"""Limits and rates in sessions: what clients are told, and what stands in the log."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits, Rate, Timeouts
from mailgw.mail.reply import Reply
from mailgw.mail.transaction import Client
from mailgw.mail.verdict import Verdict
from tests.reception.harness import NO_RATES, Server, codes

ALICE = "AUTH PLAIN AGFsaWNlAHNlY3JldA=="
WRONG = "AUTH PLAIN AGFsaWNlAHdyb25n"


class GuardTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.events if entry.get("event") == event]


class ConnectionTests(GuardTest):
    def test_connections_of_an_address_and_of_its_network(self) -> None:
        server = Server(limits=Limits(connections_per_address=2, connections_per_network=3))
        first = [server.connect("192.0.2.1") for _ in range(2)]
        refused = server.connect("192.0.2.1")
        self.assertEqual(refused.greeting, "421 4.7.0 Too many connections at the same time from 192.0.2.1\r\n")
        self.assertTrue(refused.closed)
        self.assertEqual(codes(server.connect("192.0.2.2").greeting), ["220"])
        self.assertIn("from 192.0.2.0/24", server.connect("192.0.2.3").greeting)
        first[0].say("QUIT")
        self.assertEqual(codes(server.connect("192.0.2.3").greeting), ["220"])

    def test_own_networks_have_no_limit_of_their_own(self) -> None:
        server = Server(
            limits=Limits(connections_per_address=1),
            rates={"connections": Rate("connections", "address", 1)},
            own_networks=["192.0.2.0/24"],
        )
        for _ in range(5):
            self.assertEqual(codes(server.connect("192.0.2.1").greeting), ["220"])

    def test_the_rate_of_connections(self) -> None:
        server = Server(rates={"connections": Rate("connections", "address", 2)})
        greetings = []
        for _ in range(50):
            peer = server.connect()
            greetings.append(peer.greeting)
            peer.say("QUIT")
        self.assertEqual([codes(greeting)[0] for greeting in greetings], ["220"] * 2 + ["421"] * 48)
        self.assertEqual(
            greetings[-1],
            "421 4.7.0 Too many new connections from 192.0.2.1: 2 are taken in 60 seconds, "
            "please try again in 30 seconds\r\n",
        )
        self.assertEqual(len(server.sessions), 0)
        server.clock.advance(30)
        self.assertEqual(codes(server.connect().greeting), ["220"])

    def test_a_flood_is_one_line_in_the_log(self) -> None:
        server = Server(
            limits=Limits(connections_per_address=1), rates={"connections": Rate("connections", "address", 10)}
        )
        server.connect()
        for _ in range(100):
            server.connect()
        self.assertEqual(
            [(entry["rate"], entry["key"], entry["limit"]) for entry in self.logged("rate_exceeded")],
            [("connections", "192.0.2.1", 10)],
        )
        self.assertEqual(
            [(entry["limit"], entry["key"]) for entry in self.logged("connection_refused")], [("address", "192.0.2.1")]
        )
        server.clock.advance(3600)
        for _ in range(100):
            server.connect()
        self.assertEqual(len(self.logged("rate_exceeded")), 2)


class HandshakeTests(GuardTest):
    def server(self, tls: str) -> Server:
        """A server whose rate of handshakes is used up for 192.0.2.1."""
        server = Server(tls=tls, rates={"handshakes": Rate("handshakes", "address", 2)})
        for _ in range(2):
            self.assertIsNone(server.guard.handshake(Client("1", "mx", "192.0.2.1")))
        return server

    def test_starttls_is_refused_for_now_and_the_session_goes_on(self) -> None:
        peer = self.server("starttls").connect()
        peer.say("EHLO c")
        self.assertEqual(
            peer.say("STARTTLS"),
            "454 4.7.0 Too many TLS handshakes from 192.0.2.1: 2 are taken in 60 seconds, "
            "please try again in 30 seconds\r\n",
        )
        self.assertEqual(codes(peer.say("NOOP")), ["250"])

    def test_where_tls_comes_first_the_connection_is_closed(self) -> None:
        server = self.server("implicit")
        peer = server.connect()
        self.assertEqual((peer.greeting, peer.closed), ("", True))
        self.assertEqual(len(server.sessions), 0)
        self.assertEqual(len(self.logged("rate_exceeded")), 1)


class TransactionTests(GuardTest):
    def test_messages(self) -> None:
        server = Server(rates={**NO_RATES, "messages": Rate("messages", "address", 2)})
        peer = server.connect()
        self.assertEqual(codes(peer.deliver() + peer.deliver()), ["250", "250"])
        self.assertEqual(
            peer.say("MAIL FROM:<a@b.example>"),
            "451 4.4.5 Too many messages from 192.0.2.1: 2 are taken in 60 seconds, please try again in 30 seconds\r\n",
        )
        self.assertEqual(codes(peer.say("RCPT TO:<alice@ours.example>", "NOOP")), ["503", "250"])
        server.clock.advance(30)
        self.assertEqual(codes(peer.deliver()), ["250"])

    def test_recipients_are_deferred_one_by_one(self) -> None:
        server = Server(rates={**NO_RATES, "recipients": Rate("recipients", "address", 2)})
        peer = server.connect()
        replies = peer.say("EHLO c", "MAIL FROM:<a@b.example>", *["RCPT TO:<alice@ours.example>"] * 3, "DATA")
        self.assertEqual(codes(replies), ["250", "250", "250", "250", "451", "354"])
        self.assertIn("451 4.4.5 Too many recipients from 192.0.2.1", replies)
        self.assertEqual(codes(peer.say("x", ".")), ["250"])

    def test_by_recipient_and_by_sender_domain(self) -> None:
        server = Server(
            rates={
                **NO_RATES,
                "one_mailbox": Rate("recipients", "recipient", 1),
                "one_sender": Rate("messages", "sender_domain", 2, only=("*.example",)),
            }
        )
        peer = server.connect()
        self.assertEqual(codes(peer.deliver()), ["250"])
        self.assertIn("451 4.4.5 Too many recipients for alice@ours.example", self.rcpt(server, "alice@ours.example"))
        peer = server.connect("198.51.100.1")
        self.assertIn("Too many messages from b.example", peer.say("EHLO c", "MAIL FROM:<z@b.example>"))
        self.assertEqual(codes(peer.say("MAIL FROM:<z@b.test>")), ["250"])

    def rcpt(self, server: Server, recipient: str) -> str:
        peer = server.connect()
        peer.say("EHLO c", "MAIL FROM:<a@b.example>")
        return peer.say(f"RCPT TO:<{recipient}>")


class LoginTests(GuardTest):
    """AUTH wants TLS, which a transport in memory has not: the core is told that it is there."""

    def setUp(self) -> None:
        super().setUp()
        self.server = Server(kind="submission", rates={"auth_failures": Rate("auth_failures", "address", 4, 600.0)})

    def login(self, line: str, address: str = "192.0.2.1") -> str:
        peer = self.server.connect(address)
        peer.link._connection.tls_started()
        peer.say("EHLO c")
        reply = peer.say(line)
        peer.say("QUIT")
        return reply

    def test_a_flood_of_wrong_passwords_is_stopped_before_they_are_checked(self) -> None:
        asked = self.count_checks()
        replies = [codes(self.login(WRONG))[0] for _ in range(20)]
        self.assertEqual(replies, ["535"] * 4 + ["421"] * 16)
        self.assertEqual(len(asked), 4)
        self.assertEqual(len(self.logged("rate_exceeded")), 1)

    def test_a_right_password_from_the_same_address_waits_too_and_from_another_does_not(self) -> None:
        for _ in range(4):
            self.login(WRONG)
        self.assertEqual(
            self.login(ALICE),
            "421 4.7.0 Too many failed logins from 192.0.2.1: 4 are taken in 10 minutes, "
            "please try again in 3 minutes\r\n",
        )
        self.assertEqual(codes(self.login(ALICE, "198.51.100.1")), ["235"])
        self.server.clock.advance(151)
        self.assertEqual(codes(self.login(ALICE)), ["235"])

    def test_right_passwords_do_not_count(self) -> None:
        self.assertEqual([codes(self.login(ALICE))[0] for _ in range(20)], ["235"] * 20)

    def count_checks(self) -> list[str]:
        asked: list[str] = []
        verify = self.server.authenticator.verify

        async def counted(username: str, password: str) -> str | None:
            asked.append(username)
            return await verify(username, password)

        self.server.authenticator.verify = counted  # type: ignore[method-assign]
        return asked


class HistoryTests(GuardTest):
    def setUp(self) -> None:
        super().setUp()
        self.server = Server(limits=Limits(connections_per_address=1, good_history_factor=3.0))

    def room(self) -> int:
        """How many sessions one host may have now."""
        peers = [self.server.connect() for _ in range(10)]
        taken = sum(peer.greeting.startswith("220") for peer in peers)
        for peer in peers:
            if not peer.closed:
                peer.say("QUIT")
        return taken

    def deliver(self, number: int) -> None:
        peer = self.server.connect()
        for _ in range(number):
            peer.deliver()
        peer.say("QUIT")

    def test_a_host_with_good_history_has_more_room(self) -> None:
        self.assertEqual(self.room(), 1)
        self.deliver(15)
        self.assertEqual(self.room(), 3)

    def test_spam_ends_it(self) -> None:
        self.deliver(15)
        for verdict in (Verdict("spam", 7.0, (), ""), Verdict("reject", 20.0, (), "", Reply(554, "5.7.1", ("Spam",)))):
            self.server.judge.verdict = verdict
            self.deliver(1)
        self.assertEqual(self.room(), 1)

    def test_errors_end_it(self) -> None:
        self.deliver(15)
        for _ in range(2):
            peer = self.server.connect()
            peer.say("EHLO c", "MAIL FROM:<>")
            for _ in range(5):
                peer.say("RCPT TO:<nobody@ours.example>")
            self.assertTrue(peer.closed)
        self.assertEqual(self.room(), 1)

    def test_what_we_defer_changes_nothing(self) -> None:
        self.deliver(15)
        self.server.judge.verdict = Verdict("defer", 0.0, (), "", Reply(451, "4.7.1", ("Later",)))
        self.deliver(5)
        self.assertEqual(self.room(), 3)


class LoadTests(GuardTest):
    """With 10 connections load begins at the ninth."""

    def setUp(self) -> None:
        super().setUp()
        self.server = Server(
            limits=Limits(connections=10, submission_reserve=0),
            timeouts=Timeouts(command=300, command_under_load=30, data=180),
        )

    def test_idle_sessions_have_less_time_under_load_also_those_that_wait_already(self) -> None:
        idle = self.server.connect()
        self.server.clock.advance(20)
        others = [self.server.connect() for _ in range(8)]
        self.assertFalse(idle.closed)
        self.server.clock.advance(11)
        self.assertIn("421 4.4.2", idle.replies())
        self.assertTrue(idle.closed)
        self.assertFalse(any(peer.closed for peer in others))
        self.server.clock.advance(20)
        self.assertTrue(all(peer.closed for peer in others))

    def test_a_session_that_becomes_idle_under_load(self) -> None:
        peers = [self.server.connect() for _ in range(9)]
        peers[0].say("EHLO c")
        self.server.clock.advance(29)
        peers[0].say("NOOP")
        self.server.clock.advance(2)
        self.assertEqual([peer.closed for peer in peers], [False] + [True] * 8)
        # The load is over: it has all its time again for the next command.
        peers[0].say("NOOP")
        self.server.clock.advance(200)
        self.assertFalse(peers[0].closed)

    def test_who_sends_a_message_is_not_hurried(self) -> None:
        sending = self.server.connect()
        sending.say("EHLO c", "MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "DATA", "half")
        for _ in range(8):
            self.server.connect()
        self.server.clock.advance(100)
        self.assertFalse(sending.closed)
        self.assertEqual(codes(sending.say(".")), ["250"])

    def test_a_command_octet_by_octet_gets_no_more_time(self) -> None:
        peer = self.server.connect()
        for _ in range(12):
            peer.link.dataReceived(b"N")
            self.server.clock.advance(29)
        self.assertTrue(peer.closed)

    def test_one_who_is_silent_gives_its_place_when_none_is_left(self) -> None:
        peers = []
        for _ in range(10):
            peers.append(self.server.connect())
            self.server.clock.advance(0.05)
        peers[0].say("EHLO c")
        self.assertTrue(self.server.connect().greeting.startswith("421 4.3.2 Too many connections"))
        self.server.clock.advance(1)
        self.assertEqual(codes(self.server.connect().deliver()), ["250"])
        # The first one has said something since: the second was silent for longest.
        self.assertEqual([peer.closed for peer in peers], [False, True] + [False] * 8)
        self.assertIn("421 4.3.2 Too many connections, closing this idle one", peers[1].replies())
        self.assertEqual(len(self.server.sessions), 10)

    def test_who_is_served_or_sends_a_message_gives_no_place(self) -> None:
        peers = [self.server.connect() for _ in range(10)]
        self.server.judge.pending = Deferred()
        for peer in peers[:9]:
            peer.deliver()
        peers[9].say("EHLO c", "MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "DATA", "half")
        self.server.clock.advance(20)
        self.assertEqual(codes(self.server.connect().greeting), ["421"])
        self.assertFalse(any(peer.closed for peer in peers))
        self.server.judge.pending.callback(None)

    def test_our_own_people_give_no_place_once_they_are_known(self) -> None:
        """Else strangers could take every place of the submission port, and with them those of the mx port."""
        server = Server(kind="submission", limits=Limits(connections=2, submission_reserve=0))
        user, stranger = server.connect(), server.connect()
        user.link.keeps_place = True  # what AUTH does
        server.clock.advance(20)
        self.assertEqual(codes(server.connect().greeting), ["220"])
        self.assertEqual((user.closed, stranger.closed), (False, True))

    def test_who_waits_for_our_greeting_gives_no_place(self) -> None:
        server = Server(greeting_delay=6.0, limits=Limits(connections=1, submission_reserve=0))
        polite = server.connect()
        server.clock.advance(2)
        self.assertEqual(codes(server.connect().greeting), ["421"])
        server.clock.advance(5)
        self.assertEqual(codes(polite.replies()), ["220"])

    def test_a_flood_of_connections_takes_the_places_of_the_silent_only(self) -> None:
        """Two thousand that say nothing, and one that talks with a pause of half a second before each command."""
        talking = self.server.connect()
        for line in ("EHLO c", "MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "DATA", "."):
            for _ in range(400):
                self.server.connect()
                self.server.clock.advance(0.5 / 400)
            reply = talking.say(line)
        self.assertEqual(codes(reply), ["250"])
        self.assertLessEqual(len(self.server.sessions), 10)


class ClientTests(SynchronousTestCase):
    def test_a_place_that_is_left_is_free_for_the_address_that_took_it(self) -> None:
        guard = Server(limits=Limits(connections_per_address=1)).guard
        balancer, behind = Client("1", "mx", "192.0.2.1"), Client("1", "mx", "198.51.100.1")
        self.assertIsNone(guard.admit(balancer))
        guard.leave(balancer)
        self.assertIsNone(guard.admit(behind))
        self.assertIsNone(guard.admit(balancer))
        self.assertIsNotNone(guard.admit(behind))
