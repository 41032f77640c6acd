"""Call-ahead, against scripted next hops in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config import schema
from mailgw.delivery import answers
from mailgw.delivery.answers import NO_TIME, STALE_YES_TIME, YES_TIME, Answers, verification_of
from mailgw.delivery.callahead import CONCURRENCY, TROUBLE_TIME, CallAhead
from mailgw.mail.address import Mailbox
from mailgw.mail.reply import Reply
from mailgw.queue.item import Destination
from mailgw.routing.interface import Target, Verification
from tests.delivery.peers import EHLO, HANG_UP, PLAIN_EHLO, SILENT
from tests.delivery.test_relay import HOP, RelayTestCase, deliveries, queued

SECOND = "192.0.2.2"
UNKNOWN = b"550 5.1.1 <jim@example.org>: no such user at back.internal.example\r\n"
LIMIT = 30.0


def target(address: str = "joe@example.org", route: str = "hop") -> Target:
    return Target(Mailbox.parse(address), Destination("relay", f"route:{route}"))


class CallAheadTestCase(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.routes["store"] = schema.Route(hosts=(HOP,), protocol="lmtp")
        self.verifier = CallAhead(self.agent.sessions, self.network, LIMIT)
        # A question that stays under way would be resumed when it is collected, in the middle of some other test.
        self.addCleanup(self.verifier.stop)

    def ask(self, address: str = "joe@example.org", route: str = "hop") -> Deferred[Verification]:
        question = Deferred.fromCoroutine(self.verifier.verify(target(address, route)))
        self.network.run()
        return question

    def known(self, address: str = "joe@example.org", route: str = "hop") -> bool | None:
        return self.successResultOf(self.ask(address, route)).known


class QuestionTests(CallAheadTestCase):
    def test_yes(self) -> None:
        peer = self.peer()
        self.assertEqual(self.known(), True)
        self.assertEqual(peer.sessions, [["EHLO gw.example.org", "MAIL FROM:<>", "RCPT TO:<joe@example.org>", "RSET"]])

    def test_no(self) -> None:
        self.peer(RCPT=UNKNOWN)
        verification = self.successResultOf(self.ask("jim@example.org"))
        self.assertEqual((verification.known, verification.status), (False, "5.1.1"))
        self.assertIn("no such user at back.internal.example", verification.reason)

    def test_lmtp(self) -> None:
        peer = self.peer(LHLO=EHLO)
        self.assertEqual(self.known(route="store"), True)
        self.assertEqual(peer.sessions, [["LHLO gw.example.org", "MAIL FROM:<>", "RCPT TO:<joe@example.org>", "RSET"]])

    def test_questions_share_a_session(self) -> None:
        peer = self.peer(RCPT=[b"250 2.1.5 fine\r\n", UNKNOWN])
        self.assertEqual(self.known("joe@example.org"), True)
        self.assertEqual(self.known("jim@example.org"), False)
        self.assertEqual(len(peer.sessions), 1)

    def test_mail_goes_over_the_session_of_a_question_and_back(self) -> None:
        peer = self.peer()
        self.known()
        self.assertEqual(len(self.deliver(queued(), deliveries("route:hop"))), 1)
        self.known("jim@example.org")
        self.assertEqual(len(peer.sessions), 1)
        self.assertEqual(len(peer.contents), 1)

    def test_a_session_that_went_stale_is_replaced(self) -> None:
        peer = self.peer()
        self.known()
        peer.last.transport.loseConnection()
        self.assertEqual(self.known("jim@example.org"), True)
        self.assertEqual(len(peer.sessions), 2)

    def test_a_session_that_is_ended_when_used_is_replaced(self) -> None:
        peer = self.peer(MAIL=[b"250 fine\r\n", b"421 4.4.2 too long idle\r\n", b"250 fine\r\n"])
        self.known()
        self.assertEqual(self.known("jim@example.org"), True)
        self.assertEqual(len(peer.sessions), 2)

    def test_addresses_that_are_not_ascii(self) -> None:
        peer = self.peer()
        self.assertEqual(self.known("jürgen@bücher.example"), True)
        self.assertEqual(peer.sessions[0][1:3], ["MAIL FROM:<> SMTPUTF8", "RCPT TO:<jürgen@bücher.example>"])

    def test_addresses_that_are_not_ascii_where_they_are_not_taken(self) -> None:
        peer = self.peer(EHLO=PLAIN_EHLO)
        verification = self.successResultOf(self.ask("jürgen@bücher.example"))
        self.assertEqual((verification.known, verification.status), (False, "5.6.7"))
        self.assertEqual(self.known("jo@bücher.example"), True)
        self.assertEqual(peer.sessions[0][1:3], ["MAIL FROM:<>", "RCPT TO:<jo@xn--bcher-kva.example>"])

    def test_equal_questions_are_one(self) -> None:
        peer = self.peer(RCPT=SILENT)
        questions = [self.ask() for _ in range(3)]
        peer.last.transport.write(b"250 2.1.5 fine\r\n")
        self.network.run()
        self.assertEqual([self.successResultOf(question).known for question in questions], [True] * 3)
        self.assertEqual(peer.sessions[0].count("RCPT TO:<joe@example.org>"), 1)

    def test_who_asked_first_may_leave(self) -> None:
        peer = self.peer(RCPT=SILENT)
        first, second = self.ask(), self.ask()
        first.cancel()
        self.failureResultOf(first)
        peer.last.transport.write(b"250 2.1.5 fine\r\n")
        self.network.run()
        self.assertEqual(self.successResultOf(second).known, True)

    def test_few_sessions_at_a_time(self) -> None:
        peer = self.peer(RCPT=SILENT)
        for n in range(3 * CONCURRENCY):
            self.ask(f"user{n}@example.org")
        self.assertEqual(len(peer.sessions), CONCURRENCY)


class StopTests(CallAheadTestCase):
    def test_who_waits_when_the_gateway_stops_has_no_answer(self) -> None:
        self.peer(RCPT=SILENT)
        waiting = [self.ask(f"joe{number}@example.org") for number in range(15)]
        self.verifier.stop()
        self.assertEqual([self.successResultOf(question).known for question in waiting], [None] * 15)


class TroubleTests(CallAheadTestCase):
    def test_nobody_there(self) -> None:
        verification = self.successResultOf(self.ask())
        self.assertIsNone(verification.known)
        self.assertIn(HOP, verification.reason)

    def test_the_second_host_is_asked_when_the_first_is_down(self) -> None:
        self.peer(SECOND)
        self.assertEqual(self.known(route="two"), True)
        self.assertEqual(self.network.connected, [HOP, SECOND])

    def test_temporary_replies_are_never_a_no(self) -> None:
        scripts: list[dict[str, Any]] = [
            {"RCPT": b"450 4.2.0 greylisted\r\n"},
            {"RCPT": b"451 4.3.0 directory down\r\n"},
            {"RCPT": b"421 4.3.2 going down\r\n"},
            {"RCPT": HANG_UP},
            {"RCPT": b"554 5.7.1 relay access denied\r\n"},
            {"MAIL": b"550 5.7.1 we take no null sender\r\n"},
            {"EHLO": b"554 5.7.1 go away\r\n"},
            {"greeting": b"554 no service\r\n"},
            {"greeting": b"421 too many\r\n"},
            {"RCPT": b"no reply at all\r\n"},
        ]
        for script in scripts:
            with self.subTest(script):
                self.setUp()
                self.peer(**script)
                self.assertIsNone(self.known())

    def test_the_time_limit(self) -> None:
        for step in ("greeting", "EHLO", "RCPT", "RSET"):
            with self.subTest(step):
                self.setUp()
                peer = self.peer(**{step: SILENT})
                question = self.ask()
                self.network.pass_time(LIMIT - 0.1)
                self.assertNoResult(question)
                self.network.pass_time(0.2)
                self.assertIsNone(self.successResultOf(question).known)
                self.assertEqual(peer.open, 0)

    def test_the_time_limit_while_connecting_and_in_line(self) -> None:
        self.network.silent.add(HOP)
        questions = [self.ask(f"user{n}@example.org") for n in range(2 * CONCURRENCY)]
        self.network.pass_time(LIMIT)
        self.assertEqual([self.successResultOf(question).known for question in questions], [None] * len(questions))

    def test_whoever_comes_meanwhile_need_not_wait(self) -> None:
        peer = self.peer(greeting=SILENT)
        self.ask()
        self.network.pass_time(LIMIT)
        self.assertIsNone(self.known("jim@example.org"))
        peer.script["greeting"] = b"220 back\r\n"
        self.network.pass_time(TROUBLE_TIME)
        self.assertEqual(self.known("jim@example.org"), True)

    def test_one_recipient_in_trouble_is_no_trouble_for_the_others(self) -> None:
        self.peer(RCPT=[b"450 4.2.0 later\r\n", b"250 2.1.5 fine\r\n"])
        self.assertIsNone(self.known("jim@example.org"))
        self.assertEqual(self.known("joe@example.org"), True)

    def test_a_route_that_is_not_there(self) -> None:
        self.assertIsNone(self.known(route="gone"))


class CacheTests(CallAheadTestCase):
    def test_yes_is_kept_for_hours(self) -> None:
        peer = self.peer()
        self.known()
        self.network.pass_time(YES_TIME - 1)
        peer.script["RCPT"] = UNKNOWN
        self.assertEqual(self.known(), True)
        self.network.pass_time(2)
        self.assertEqual(self.known(), False)

    def test_no_is_kept_for_minutes(self) -> None:
        peer = self.peer(RCPT=UNKNOWN)
        self.known()
        self.network.pass_time(NO_TIME - 1)
        peer.script["RCPT"] = b"250 2.1.5 fine\r\n"
        self.assertEqual(self.known(), False)
        self.network.pass_time(2)
        self.assertEqual(self.known(), True)

    def test_trouble_is_not_kept(self) -> None:
        self.peer(RCPT=[b"450 4.2.0 later\r\n", b"250 2.1.5 fine\r\n"])
        self.assertIsNone(self.known())
        self.assertEqual(self.known(), True)

    def test_an_old_yes_holds_while_the_next_hop_is_down(self) -> None:
        self.peer()
        self.known()
        self.network.pass_time(20)  # the idle session goes
        del self.network.peers[HOP]
        self.network.pass_time(YES_TIME)
        self.assertEqual(self.known(), True)
        self.assertEqual(self.known(), True)  # in the time of trouble too
        self.network.pass_time(STALE_YES_TIME)
        self.assertIsNone(self.known())

    def test_an_old_no_does_not(self) -> None:
        self.peer(RCPT=UNKNOWN)
        self.known()
        self.network.pass_time(NO_TIME)
        del self.network.peers[HOP]
        self.assertIsNone(self.known())


class AnswerTests(SynchronousTestCase):
    def test_what_replies_mean(self) -> None:
        for code, status, known, ours in (
            (250, "2.1.5", True, ""),
            (251, "", True, ""),
            (450, "4.2.1", None, ""),
            (550, "", False, "5.1.1"),
            (550, "5.1.1", False, "5.1.1"),
            (550, "5.1.10", False, "5.1.1"),
            (550, "5.4.1", False, "5.1.1"),
            (550, "5.2.1", False, "5.2.1"),
            (552, "5.2.2", False, "5.2.2"),
            (552, "", False, "5.2.2"),
            (553, "", False, "5.1.1"),
            (550, "5.7.1", None, ""),
            (553, "5.7.1", None, ""),
            (554, "5.7.1", None, ""),
            (554, "", None, ""),
            (550, "5.1.8", None, ""),
            (503, "5.5.1", None, ""),
            (521, "", None, ""),
        ):
            verification = verification_of(Reply(code, status, ("x",)), "peer")
            self.assertEqual((verification.known, verification.status), (known, ours), (code, status))

    def test_what_it_said_is_bounded(self) -> None:
        verification = verification_of(Reply(550, "5.1.1", ("x" * 2000,) * 100), "peer")
        self.assertLess(len(verification.reason), 400)

    def test_the_cache_is_bounded_and_strangers_push_nobody_out(self) -> None:
        self.patch(answers, "MAX_YES", 3)
        self.patch(answers, "MAX_NO", 3)
        cache = Answers(Clock())
        cache.keep(target("joe@example.org"), Verification(True))
        for n in range(10):
            cache.keep(target(f"no{n}@example.org"), Verification(False, "5.1.1"))
        self.assertEqual([n for n in range(10) if cache.fresh(target(f"no{n}@example.org"))], [7, 8, 9])
        self.assertEqual(cache.fresh(target("joe@example.org")), Verification(True))
        for n in range(3):
            cache.keep(target(f"yes{n}@example.org"), Verification(True))
        self.assertIsNone(cache.fresh(target("joe@example.org")))
