"""BDAT in sessions (RFC 3030): chunks become one message, and whatever is refused, the session stays in step."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits, Timeouts
from mailgw.mail.reply import Reply, TemporaryFailure
from mailgw.mail.verdict import Verdict
from mailgw.queue.memory import MemoryContentWriter, MemoryStore
from tests.reception.harness import Peer, Server, codes


class Writer(MemoryContentWriter):
    """Knows what became of it; fails at its second piece when `fails`."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.aborted = False
        self.written = 0
        self._fails = fails

    async def write(self, data: bytes) -> None:
        self.written += 1
        if self._fails and self.written > 1:
            raise TemporaryFailure("Input/output error")
        await super().write(data)

    async def abort(self) -> None:
        self.aborted = True
        await super().abort()


class Store(MemoryStore):
    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.writers: list[Writer] = []
        self._fails = fails

    def new_content(self, message_id: str) -> Writer:
        self.writers.append(Writer(self._fails))
        return self.writers[-1]


def transaction(peer: Peer) -> None:
    peer.say("EHLO client.example")
    peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<alice@ours.example>")


class BdatTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = Store()
        self.server = self.make_server()
        self.peer = self.server.connect()

    def make_server(self, **settings: object) -> Server:
        server = Server(store=self.store, **settings)  # type: ignore[arg-type]
        self.successResultOf(Deferred.fromCoroutine(self.store.open()))
        return server

    def content(self) -> bytes:
        return b"".join(self.server.offered[-1].message.message.content.open())

    def test_a_message_in_one_chunk(self) -> None:
        transaction(self.peer)
        reply = self.peer.send(b"BDAT 17 LAST\r\nSubject: x\r\n\r\n.\r\n")
        self.assertTrue(reply.startswith("250 2.0.0 OK: queued as "), reply)
        self.assertEqual(self.content(), b"Subject: x\r\n\r\n.\r\n")
        self.assertIn(b"with ESMTP id", self.server.offered[0].message.message.prefix)
        self.assertFalse(self.store.writers[0].aborted)

    def test_each_chunk_is_answered_and_the_last_gets_the_verdict(self) -> None:
        transaction(self.peer)
        self.server.judge.pending = Deferred()
        self.assertEqual(self.peer.send(b"BDAT 12\r\nSubject: x\r\n"), "250 2.0.0 12 octets taken so far\r\n")
        self.assertEqual(codes(self.peer.say("NOOP")), ["250"])
        sent = b"BDAT 2\r\n\r\nBDAT 3 LAST\r\na\r\n"
        self.assertEqual(self.peer.send(sent), "250 2.0.0 14 octets taken so far\r\n")
        self.server.judge.pending.callback(None)
        self.assertTrue(self.peer.replies().startswith("250 2.0.0 OK: queued as"))
        self.assertEqual(self.content(), b"Subject: x\r\n\r\na\r\n")

    def test_the_verdict_answers_the_last_chunk(self) -> None:
        transaction(self.peer)
        self.server.judge.verdict = Verdict("reject", 20.0, (), "", Reply(554, "5.7.1", ("Spam",)))
        self.assertEqual(codes(self.peer.send(b"BDAT 3\r\na\r\nBDAT 0 LAST\r\nNOOP\r\n")), ["250", "554", "250"])
        self.assertEqual(self.server.offered, [])
        self.assertTrue(self.store.writers[0].aborted)

    def test_two_messages(self) -> None:
        for _ in range(2):
            transaction(self.peer)
            self.assertEqual(codes(self.peer.send(b"BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\n")), ["250", "250"])
            self.assertEqual(self.content(), b"a\r\nb\r\n")
        self.assertEqual(len({entry.message.id for entry in self.server.offered}), 2)

    def test_rset_ehlo_and_a_disconnect_forget_what_came(self) -> None:
        for number, command in enumerate(("RSET", "EHLO client.example")):
            transaction(self.peer)
            self.peer.send(b"BDAT 3\r\na\r\n")
            self.assertFalse(self.store.writers[number].aborted)
            self.assertEqual(codes(self.peer.say(command)), ["250"])
            self.assertTrue(self.store.writers[number].aborted)
            self.assertEqual(codes(self.peer.send(b"BDAT 6 LAST\r\nQUIT\r\n")), ["503"])
        transaction(self.peer)
        self.peer.send(b"BDAT 3\r\na\r\n")
        self.peer.transport.loseConnection()
        self.assertTrue(self.store.writers[2].aborted)
        self.assertEqual((self.server.offered, len(self.server.sessions)), ([], 0))

    def test_a_disconnect_within_a_chunk(self) -> None:
        transaction(self.peer)
        self.peer.send(b"BDAT 30 LAST\r\na\r\n")
        self.peer.transport.loseConnection()
        self.assertTrue(self.store.writers[0].aborted)
        self.assertEqual(self.server.offered, [])

    def test_a_failing_disk_is_told_at_the_chunk_and_ends_the_transaction(self) -> None:
        self.store = Store(fails=True)
        self.server = self.make_server()
        peer = self.server.connect()
        transaction(peer)
        sent = b"BDAT 3\r\na\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
        self.assertEqual(codes(peer.send(sent)), ["250", "451", "503", "250"])
        self.assertTrue(self.store.writers[0].aborted)
        self.assertEqual(self.server.offered, [])

    def test_too_large(self) -> None:
        server = self.make_server(limits=Limits(message_size=1000))
        peer = server.connect()
        transaction(peer)
        line = b"QUIT " + b"x" * 93 + b"\r\n"
        sent = b"BDAT 900\r\n" + line * 9 + b"BDAT 900\r\n" + line * 9 + b"BDAT 100 LAST\r\n" + line + b"NOOP\r\n"
        self.assertEqual(codes(peer.send(sent)), ["250", "552", "503", "250"])
        transaction(peer)
        self.assertEqual(codes(peer.send(b"BDAT 1000 LAST\r\n" + line * 10)), ["250"])

    def test_no_recipient(self) -> None:
        self.peer.say("EHLO c", "MAIL FROM:<a@b.example>", "RCPT TO:<x@outside.example>")
        self.assertEqual(codes(self.peer.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")), ["554", "250"])
        self.assertEqual(self.store.writers, [])

    def test_a_client_that_stops_within_a_chunk_times_out(self) -> None:
        server = self.make_server(timeouts=Timeouts(data=20.0))
        peer = server.connect()
        transaction(peer)
        peer.send(b"BDAT 30\r\na\r\n")
        server.clock.advance(20)
        self.assertIn("421 4.4.2", peer.replies())
        self.assertTrue(self.store.writers[-1].aborted)

    def test_chunks_sent_ahead_are_no_bad_manners(self) -> None:
        transaction(self.peer)
        self.peer.send(b"BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\n")
        self.assertEqual(self.server.judge.transactions[0].client.signals, ())

    def test_not_offered(self) -> None:
        peer = self.make_server(without=("CHUNKING",)).connect()
        self.assertNotIn("CHUNKING", peer.say("EHLO c"))
        self.assertEqual(codes(peer.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")), ["502", "250"])
