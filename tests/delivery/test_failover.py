"""From one host to the next within an attempt: when, how often, and for whom."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs

from mailgw.config import schema
from mailgw.queue.item import Delayed, Delivered, Failed
from tests.delivery.peers import HANG_UP, PLAIN_EHLO, ScriptedPeer, deliveries, queued
from tests.delivery.test_relay import RelayTestCase

FIRST, SECOND, THIRD = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class SmarthostTestCase(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.routes["smart"] = schema.Route(hosts=(FIRST, SECOND, THIRD))

    def send(self, *names: str) -> list[Any]:
        """One attempt at a message to NAME@example.org."""
        return self.deliver(queued(), deliveries("route:smart", [f"{name}@example.org" for name in names or "a"]))

    def recipients(self, peer: ScriptedPeer) -> list[list[str]]:
        """Who was named to a peer, for each session."""
        return [[line[9] for line in session if line.startswith("RCPT")] for session in peer.sessions]


class NextTests(SmarthostTestCase):
    def test_the_first_is_down(self) -> None:
        second = self.peer(SECOND)
        (outcome,) = self.send()
        self.assertEqual((type(outcome), outcome.remote), (Delivered, SECOND))
        self.assertEqual(len(second.contents), 1)

    def test_the_first_says_later_at_any_step(self) -> None:
        for pipelining in (True, False):
            ehlo = {} if pipelining else {"EHLO": PLAIN_EHLO}
            for step in ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "end"):
                for code in (b"421", b"451"):
                    self.agent = self.make_agent()
                    first = self.peer(FIRST, **{**ehlo, step: code + b" 4.3.0 not now\r\n"})
                    second = self.peer(SECOND)
                    (outcome,) = self.send()
                    self.assertEqual((type(outcome), outcome.remote), (Delivered, SECOND), (step, code))
                    self.assertEqual((len(first.sessions), len(second.contents)), (1, 1), (step, code))

    def test_the_first_hangs_up_at_any_step(self) -> None:
        for step in ("greeting", "EHLO", "MAIL", "RCPT", "DATA"):
            self.agent = self.make_agent()
            self.peer(FIRST, **{step: HANG_UP})
            second = self.peer(SECOND)
            (outcome,) = self.send()
            self.assertIsInstance(outcome, Delivered, step)
            self.assertEqual(len(second.contents), 1)

    def test_a_no_is_final(self) -> None:
        for step in ("MAIL", "RCPT", "DATA", "end"):
            self.agent = self.make_agent()
            self.peer(FIRST, **{step: b"554 5.7.1 never\r\n"})
            second = self.peer(SECOND)
            (outcome,) = self.send()
            self.assertEqual((type(outcome), outcome.status, outcome.reply.text), (Failed, "5.7.1", "never"), step)
            self.assertEqual(second.sessions, [], step)

    def test_two_sessions_at_most(self) -> None:
        first, second = (self.peer(host, RCPT=b"450 4.2.1 not now\r\n") for host in (FIRST, SECOND))
        third = self.peer(THIRD)
        (outcome,) = self.send()
        self.assertEqual((outcome.status, outcome.remote), ("4.2.1", SECOND))
        self.assertEqual([len(peer.sessions) for peer in (first, second, third)], [1, 1, 0])

    def test_what_a_host_said_counts_more_than_that_the_next_is_down(self) -> None:
        self.peer(FIRST, RCPT=b"450 4.2.2 full\r\n")
        (outcome,) = self.send()
        self.assertEqual((outcome.status, outcome.remote, str(outcome.reply)), ("4.2.2", FIRST, "450 4.2.2 full"))
        self.assertFalse(outcome.site_wide)

    def test_a_greeting_of_5yz_is_for_this_host_only(self) -> None:
        """RFC 5321 3.1, RFC 7504 3."""
        for greeting in (b"554 not you\r\n", b"521 no mail here\r\n"):
            self.agent = self.make_agent()
            self.peer(FIRST, greeting=greeting)
            self.peer(SECOND)
            self.assertEqual(self.send()[0].remote, SECOND)

    def test_one_that_is_silent_is_waited_for_once(self) -> None:
        """Each session waited for its time-out again."""
        self.agent = self.make_agent(max_messages=1)
        self.network.silent.add(FIRST)
        self.peer(SECOND)
        with capturedLogs() as events:
            attempt = self.start(to=deliveries("route:smart"))
            self.network.pass_time(30)
        self.assertEqual(self.successResultOf(attempt)[0].remote, SECOND)
        (event,) = [event for event in events if event.get("event") == "host_down"]
        self.assertIn(f"no connection to {FIRST} port 25", event["reason"])
        for _ in range(3):
            self.assertEqual(self.send()[0].remote, SECOND)
        self.assertEqual(self.network.connected.count(FIRST), 1)
        # After five minutes one attempt looks whether it is back.
        self.network.pass_time(301)
        probing = self.start(to=deliveries("route:smart"))
        self.assertNoResult(probing)
        self.assertEqual(self.send()[0].remote, SECOND)
        self.network.pass_time(30)
        self.assertEqual(self.successResultOf(probing)[0].remote, SECOND)
        self.assertEqual(self.network.connected.count(FIRST), 2)

    def test_one_that_is_back_comes_first_again(self) -> None:
        self.agent = self.make_agent(max_messages=1)
        self.peer(SECOND)
        self.send()
        self.peer(FIRST)
        self.network.pass_time(301)
        for _ in range(2):
            self.assertEqual(self.send()[0].remote, FIRST)

    def test_all_are_tried_where_all_were_down(self) -> None:
        self.assertIsInstance(self.send()[0], Delayed)
        self.peer(THIRD)
        self.assertEqual(self.send()[0].remote, THIRD)

    def test_the_first_is_asked_first_next_time(self) -> None:
        self.peer(FIRST, greeting=[b"421 busy\r\n", b"220 hello\r\n"])
        self.peer(SECOND)
        self.assertEqual(self.send()[0].remote, SECOND)
        self.agent = self.make_agent()
        self.assertEqual(self.send()[0].remote, FIRST)


class EachRecipientTests(SmarthostTestCase):
    REPLIES = (b"250 ok\r\n", b"450 4.2.1 greylisted\r\n", b"550 5.1.1 who?\r\n")

    def test_only_who_was_delayed_goes_to_the_next(self) -> None:
        first = self.peer(FIRST, RCPT=list(self.REPLIES))
        second = self.peer(SECOND)
        outcomes = self.send("a", "b", "c")
        self.assertEqual([type(outcome) for outcome in outcomes], [Delivered, Delivered, Failed])
        self.assertEqual([outcome.remote for outcome in outcomes], [FIRST, SECOND, FIRST])
        self.assertEqual((self.recipients(first), self.recipients(second)), ([["a", "b", "c"]], [["b"]]))

    def test_each_keeps_the_code_and_the_words_that_it_got(self) -> None:
        self.peer(FIRST, RCPT=list(self.REPLIES))
        ok, later, never = self.send("a", "b", "c")
        self.assertIn("250 2.0.0 queued as 1", ok.detail)
        self.assertEqual((later.status, str(later.reply)), ("4.2.1", "450 4.2.1 greylisted"))
        self.assertEqual((never.status, str(never.reply)), ("5.1.1", "550 5.1.1 who?"))
        self.assertFalse(later.site_wide)

    def test_the_content_is_refused_for_now(self) -> None:
        self.peer(FIRST, RCPT=list(self.REPLIES), end=b"451 4.3.0 disk\r\n")
        second = self.peer(SECOND)
        self.assertEqual([type(outcome) for outcome in self.send("a", "b", "c")], [Delivered, Delivered, Failed])
        self.assertEqual(self.recipients(second), [["a", "b"]])

    def test_hung_up_behind_the_content_for_those_who_were_taken(self) -> None:
        """They may have it: the next host would double it. Who was delayed cannot have it."""
        self.peer(FIRST, RCPT=list(self.REPLIES), end=HANG_UP)
        second = self.peer(SECOND)
        outcomes = self.send("a", "b", "c")
        self.assertEqual([type(outcome) for outcome in outcomes], [Delayed, Delivered, Failed])
        self.assertEqual(outcomes[0].status, "4.4.2")
        self.assertEqual(self.recipients(second), [["b"]])

    def test_hung_up_between_the_recipients(self) -> None:
        first = self.peer(FIRST, EHLO=PLAIN_EHLO, RCPT=[b"550 5.1.1 who?\r\n", HANG_UP])
        self.peer(SECOND)
        outcomes = self.send("a", "b", "c")
        self.assertEqual([type(outcome) for outcome in outcomes], [Failed, Delivered, Delivered])
        self.assertEqual(first.contents, [])
