"""The session: what a client may do, and what it is told."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits, Timeouts
from mailgw.mail.address import Mailbox
from mailgw.mail.reply import Reply, StorageFull, TemporaryFailure
from mailgw.mail.verdict import Verdict
from mailgw.queue.memory import MemoryStore
from mailgw.queue.store import Entry
from tests.reception.harness import Server, codes


class BrokenStore(MemoryStore):
    """A disk that fails when the message is to be made durable."""

    failure = TemporaryFailure("Input/output error")

    async def put(self, entry: Entry) -> None:
        raise self.failure


class FullStore(BrokenStore):
    failure = StorageFull("No space left on device")


class TransactionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.successResultOf(Deferred.fromCoroutine(self.server.store.open()))

    def entry(self) -> Entry:
        return self.server.offered[-1]

    def test_a_message_is_in_the_queue_before_its_250(self) -> None:
        peer = self.server.connect()
        reply = peer.deliver("From: a@b.example\r\n\r\n..dot")
        self.assertTrue(reply.startswith("250 2.0.0 OK: queued as "), reply)
        stored = self.successResultOf(Deferred.fromCoroutine(self.server.store.message(self.entry().message.id)))
        assert stored is not None
        self.assertEqual(b"".join(stored.message.content.open()), b"From: a@b.example\r\n\r\n.dot\r\n")
        self.assertIn(b"Received: from client.example ([192.0.2.1])", stored.message.prefix)
        self.assertIn(b"Authentication-Results: mx.ours.example", stored.message.prefix)
        self.assertEqual(stored.envelope.reverse_path, Mailbox("a", "b.example"))

    def test_no_250_without_the_commit(self) -> None:
        server = Server(store=BrokenStore())
        self.successResultOf(Deferred.fromCoroutine(server.store.open()))
        peer = server.connect()
        self.assertEqual(codes(peer.deliver()), ["451"])
        self.assertEqual(server.offered, [])
        self.assertEqual(codes(peer.say("NOOP")), ["250"])

    def test_no_room_in_the_queue_is_452(self) -> None:
        peer = Server(store=FullStore()).connect()
        self.assertIn("452 4.3.1 Insufficient system storage", peer.deliver())
        self.assertEqual(codes(peer.say("NOOP")), ["250"])

    def test_pipelined_commands_are_answered_in_order(self) -> None:
        peer = self.server.connect()
        replies = peer.say(
            "EHLO c.example", "MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "RCPT TO:<nobody@ours.example>", "DATA"
        )
        self.assertEqual(codes(replies), ["250", "250", "250", "550", "354"])

    def test_commands_behind_the_dot_wait_for_the_verdict(self) -> None:
        self.server.judge.pending = Deferred()
        peer = self.server.connect()
        self.assertEqual(peer.deliver(), "")
        self.assertEqual(peer.say("QUIT"), "")
        self.server.judge.pending.callback(None)
        self.assertEqual(codes(peer.replies()), ["250", "221"])

    def test_spam_goes_to_the_spam_folder_and_says_so(self) -> None:
        self.server.judge.verdict = Verdict("spam", 7.0, (), "spam")
        self.server.connect().deliver()
        self.assertEqual([d.destination.folder for d in self.entry().deliveries], ["spam"])
        self.assertIn(b"X-Spam-Flag: YES", self.entry().message.message.prefix)

    def test_a_rejected_message_is_not_kept(self) -> None:
        self.server.judge.verdict = Verdict("reject", 20.0, (), "", Reply(554, "5.7.1", ("Spam (ref ID1)",)))
        peer = self.server.connect()
        self.assertEqual(peer.deliver(), "554 5.7.1 Spam (ref ID1)\r\n")
        self.assertEqual(self.server.offered, [])

    def test_a_discarded_message_gets_its_250_and_is_not_kept(self) -> None:
        self.server.judge.verdict = Verdict("discard", 0.0, (), "")
        self.assertEqual(codes(self.server.connect().deliver()), ["250"])
        self.assertEqual(self.server.offered, [])

    def test_our_own_error_is_451_and_in_the_log(self) -> None:
        self.server.judge.error = ZeroDivisionError("ours")
        peer = self.server.connect()
        self.assertEqual(codes(peer.deliver()), ["451"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.server.judge.error = None
        self.assertEqual(codes(peer.deliver()), ["250"])

    def test_forged_authentication_results_of_ours_are_cut(self) -> None:
        forged = "Authentication-Results: mx.ours.example; spf=pass"
        self.server.connect().deliver(f"{forged}\r\nAuthentication-Results: other.example; spf=pass\r\n\r\nbody")
        out = b"".join(self.entry().message.message.output())
        self.assertNotIn(forged.encode(), out)
        self.assertIn(b"Authentication-Results: other.example", out)

    def test_forged_spam_fields_and_return_path_are_cut(self) -> None:
        self.server.connect().deliver("X-Spam-Flag: NO\r\nReturn-Path: <x@y.example>\r\nSubject: kept\r\n\r\nbody")
        content = b"".join(self.entry().message.message.output()).partition(b"Received:")[2]
        self.assertNotIn(b"X-Spam-Flag", content)
        self.assertNotIn(b"Return-Path", content)
        self.assertIn(b"Subject: kept", content)

    def test_one_copy_for_recipients_that_lead_to_one_mailbox(self) -> None:
        peer = self.server.connect()
        peer.say("EHLO c", "MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "RCPT TO:<alice@ours.example>", "DATA", "x")
        peer.say(".")
        self.assertEqual(len(self.entry().deliveries), 1)

    def test_bare_postmaster_is_ours(self) -> None:
        peer = self.server.connect()
        self.assertEqual(codes(peer.say("EHLO c", "MAIL FROM:<>", "RCPT TO:<postmaster>")), ["250", "250", "250"])

    def test_a_mail_loop_is_refused(self) -> None:
        message = "Received: x\r\n" * 51 + "\r\nbody"
        self.assertIn("554 5.4.6", self.server.connect().deliver(message))

    def test_a_message_that_comes_back_again_and_again_is_refused(self) -> None:
        self.server.connect().deliver()
        ours = self.entry().message.message.prefix.decode()
        ours = ours[ours.index("Received: ") :].removesuffix("\r\n")
        self.assertIn("been here 11 times", self.server.connect().deliver("\r\n".join([ours] * 11) + "\r\n\r\nbody"))

    def test_a_return_path_from_outside_is_cut(self) -> None:
        self.server.connect().deliver("Return-Path: <x@evil.example>\r\nSubject: x\r\n\r\nbody")
        out = b"".join(self.entry().message.message.output())
        self.assertNotIn(b"evil.example", out)
        self.assertTrue(out.endswith(b"Subject: x\r\n\r\nbody\r\n"), out)

    def test_too_many_header_fields_and_too_large_a_header(self) -> None:
        server = Server(limits=Limits(header_fields=10, header_size=1000))
        self.assertIn("554 5.6.0", server.connect().deliver("X: y\r\n" * 11 + "\r\n"))
        self.assertIn("552 5.3.4", server.connect().deliver(("X: " + "y" * 100 + "\r\n") * 10 + "\r\n"))

    def test_a_header_that_is_read_only_in_part_is_refused_at_the_default_limit(self) -> None:
        """What stands behind the part that is read could be a forged Authentication-Results."""
        forged = "Authentication-Results: mx.ours.example; dkim=pass\r\n"
        message = ("X-P: " + "y" * 900 + "\r\n") * 300 + forged + "\r\nbody"
        self.assertIn("552 5.3.4", self.server.connect().deliver(message))

    def test_a_message_over_the_limit_is_read_to_its_end_and_refused(self) -> None:
        server = Server(limits=Limits(message_size=10_000))
        peer = server.connect()
        self.assertEqual(codes(peer.deliver("\r\n".join(["x" * 70] * 1000))), ["552"])
        self.assertEqual(codes(peer.say("NOOP")), ["250"])
        self.assertEqual(codes(peer.say("MAIL FROM:<a@b.example> SIZE=10001")), ["552"])


class RelayTests(SynchronousTestCase):
    def test_the_mx_port_does_not_relay(self) -> None:
        peer = Server().connect()
        peer.say("EHLO c", "MAIL FROM:<alice@ours.example>")
        for recipient in ("x@outside.example", "x@[192.0.2.9]", "@ours.example:x@outside.example"):
            self.assertIn("550 5.7.1", peer.say(f"RCPT TO:<{recipient}>"), recipient)
        self.assertEqual(codes(peer.say("DATA")), ["554"])

    def test_unknown_recipients_are_refused_at_rcpt_and_end_the_session(self) -> None:
        peer = Server(limits=Limits(unknown_recipients=3)).connect()
        peer.say("EHLO c", "MAIL FROM:<>")
        self.assertIn("550 5.1.1", peer.say("RCPT TO:<one@ours.example>"))
        self.assertIn("550 5.1.1", peer.say("RCPT TO:<two@ours.example>"))
        self.assertIn("421 4.7.0 Too many unknown recipients", peer.say("RCPT TO:<three@ours.example>"))
        self.assertTrue(peer.closed)

    def test_ten_thousand_recipients(self) -> None:
        server = Server()
        peer = server.connect()
        peer.say("EHLO c", "MAIL FROM:<>")
        replies = codes("".join(peer.say("RCPT TO:<alice@ours.example>") for _ in range(10_000)))
        self.assertEqual((replies.count("250"), replies.count("452")), (100, 9900))
        self.assertEqual(codes(peer.say("DATA", "x", ".")), ["354", "250"])


class SubmissionTests(SynchronousTestCase):
    def test_nothing_is_taken_before_tls(self) -> None:
        peer = Server(kind="submission").connect()
        self.assertEqual(codes(peer.say("EHLO c", "AUTH PLAIN AGFsaWNlAHNlY3JldA==")), ["250", "538"])
        self.assertIn("530 5.7.0", peer.say("MAIL FROM:<a@b.example>"))


class BoundTests(SynchronousTestCase):
    def test_errors_slow_a_session_down_and_end_it(self) -> None:
        server = Server(limits=Limits(soft_errors=2, hard_errors=4))
        peer = server.connect()
        self.assertEqual(codes(peer.say("FOO") + peer.say("FOO")), ["500", "500"])
        self.assertEqual(peer.say("FOO"), "")
        server.clock.advance(1.0)
        self.assertEqual(codes(peer.replies()), ["500"])
        replies = peer.say("FOO")
        self.assertIn("421 4.7.0", replies)
        self.assertTrue(peer.closed)

    def test_an_idle_client_is_told_and_let_go(self) -> None:
        server = Server(timeouts=Timeouts(command=300))
        peer = server.connect()
        server.clock.advance(299)
        self.assertFalse(peer.closed)
        server.clock.advance(2)
        self.assertIn("421 4.4.2", peer.replies())
        self.assertTrue(peer.closed)

    def test_each_command_starts_the_wait_anew(self) -> None:
        server = Server(timeouts=Timeouts(command=300))
        peer = server.connect()
        for _ in range(5):
            server.clock.advance(200)
            self.assertEqual(codes(peer.say("NOOP")), ["250"])

    def test_a_client_that_stops_in_the_middle_of_data(self) -> None:
        server = Server(timeouts=Timeouts(data=180))
        peer = server.connect()
        peer.say("EHLO c", "MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "DATA", "half a message")
        server.clock.advance(181)
        self.assertIn("421 4.4.2", peer.replies())
        self.assertEqual(server.offered, [])
        self.assertEqual(len(server.sessions), 0)

    def test_a_session_has_an_end(self) -> None:
        server = Server(timeouts=Timeouts(command=300, session=1000))
        peer = server.connect()
        for _ in range(5):
            server.clock.advance(200)
            peer.say("NOOP")
        self.assertTrue(peer.closed)

    def test_transactions_are_counted(self) -> None:
        peer = Server(limits=Limits(transactions=2)).connect()
        peer.say("EHLO c")
        for _ in range(2):
            self.assertEqual(codes(peer.say("MAIL FROM:<>", "RSET")), ["250", "250"])
        self.assertEqual(codes(peer.say("MAIL FROM:<>")), ["421"])
        self.assertTrue(peer.closed)

    def test_a_client_over_the_limit_of_sessions_is_told(self) -> None:
        server = Server(limits=Limits(connections=2, submission_reserve=1))
        first = server.connect()
        second = server.connect()
        self.assertTrue(first.greeting.startswith("220 mx.ours.example"))
        self.assertTrue(second.greeting.startswith("421 4.3.2"))
        self.assertTrue(second.closed)
        first.say("QUIT")
        self.assertTrue(server.connect().greeting.startswith("220"))

    def test_a_disconnect_in_the_middle_leaves_nothing(self) -> None:
        server = Server()
        peer = server.connect()
        peer.say("EHLO c", "MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "DATA", "half")
        peer.transport.loseConnection()
        self.assertEqual((len(server.sessions), server.offered), (0, []))
        self.assertEqual(server.clock.getDelayedCalls(), [])

    def test_bytes_that_come_during_a_decision_wait_in_the_kernel(self) -> None:
        server = Server()
        server.judge.pending = Deferred()
        peer = server.connect()
        peer.deliver()
        peer.say("NOOP")
        self.assertEqual(peer.transport.producerState, "paused")
        server.judge.pending.callback(None)
        self.assertEqual(peer.transport.producerState, "producing")


class SlowReaderTests(SynchronousTestCase):
    def test_a_client_that_does_not_read_its_replies_is_not_read_either(self) -> None:
        """Replies would pile up in our memory: EHLO for ever, and nothing taken."""
        peer = Server().connect()
        peer.link.pauseProducing()
        self.assertEqual(peer.say("EHLO c.example"), "")
        self.assertEqual(peer.transport.producerState, "paused")
        peer.link.resumeProducing()
        self.assertEqual(codes(peer.replies()), ["250"])

    def test_it_has_no_more_time_than_others(self) -> None:
        server = Server(timeouts=Timeouts(command=300))
        peer = server.connect()
        peer.link.pauseProducing()
        peer.say("EHLO c.example")
        server.clock.advance(301)
        self.assertTrue(peer.closed)


class ShutdownTests(SynchronousTestCase):
    def test_an_idle_session_ends_at_once_and_a_transaction_may_end(self) -> None:
        server = Server()
        idle, busy = server.connect(), server.connect()
        busy.say("EHLO c", "MAIL FROM:<>", "RCPT TO:<alice@ours.example>", "DATA", "text")
        stopped = Deferred.fromCoroutine(server.sessions.stop(10))
        self.assertIn("421 4.3.2", idle.replies())
        self.assertTrue(idle.closed)
        self.assertNoResult(stopped)
        replies = busy.say(".")
        self.assertEqual(codes(replies), ["250", "421"])
        self.successResultOf(stopped)
        self.assertEqual(len(server.offered), 1)

    def test_a_transaction_that_does_not_end_is_cut(self) -> None:
        server = Server()
        peer = server.connect()
        peer.say("EHLO c", "MAIL FROM:<>")
        stopped = Deferred.fromCoroutine(server.sessions.stop(10))
        server.clock.advance(10)
        self.successResultOf(stopped)
        self.assertIn("421 4.3.2", peer.replies())
        self.assertTrue(peer.closed)
