"""Asking an engine: connections, time, several addresses, and the message on its way there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from mailgw.engines.address import Address
from mailgw.engines.connection import Connection, connect
from mailgw.engines.content import Pieces, send_content
from mailgw.engines.engine import Engine
from mailgw.engines.errors import Broken, Declined, NotAsked
from mailgw.engines.stream import read
from mailgw.mail.message import FileContent, Message
from mailgw.mail.reply import TemporaryFailure
from mailgw.operation.threads import ThreadsInline
from tests.engines.support import EngineReactor, Peer


class Line:
    """Reads an answer that is one line."""

    def __init__(self) -> None:
        self.line = b""

    def feed(self, data: bytes) -> bool:
        self.line += data
        return self.line.endswith(b"\n")


async def ask_line(connection: Connection) -> bytes:
    await connection.send(b"question\n")
    line = Line()
    await read(connection, line)
    return line.line


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EngineReactor()
        connecting = Deferred.fromCoroutine(connect(Address("/x"), self.reactor, 3.0))
        self.peer = self.reactor.accept()
        self.connection = self.successResultOf(connecting)

    def start(self, coroutine: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(coroutine)

    def test_bytes_both_ways(self) -> None:
        self.successResultOf(self.start(self.connection.send(b"abc")))
        self.assertEqual(self.peer.received, b"abc")
        receiving = self.start(self.connection.receive())
        self.assertNoResult(receiving)
        self.peer.send(b"d")
        self.assertEqual(self.successResultOf(receiving), b"d")
        self.peer.send(b"e")
        self.peer.send(b"f")
        self.assertTrue(self.connection.answered)
        self.peer.close()
        self.assertEqual(self.successResultOf(self.start(self.connection.receive())), b"ef")
        self.assertEqual(self.successResultOf(self.start(self.connection.receive())), b"")

    def test_a_full_transport_is_waited_for(self) -> None:
        self.peer.fill()
        sending = self.start(self.connection.send(b"abc"))
        self.assertNoResult(sending)
        self.peer.drain()
        self.successResultOf(sending)

    def test_a_peer_that_goes_ends_every_wait(self) -> None:
        self.peer.fill()
        sending, receiving = self.start(self.connection.send(b"abc")), self.start(self.connection.receive())
        self.peer.lose()
        self.successResultOf(sending)
        self.failureResultOf(receiving, Broken)
        self.successResultOf(self.start(self.connection.send(b"more")))
        self.assertEqual(self.peer.received, b"abc")

    def test_a_flood_is_not_read(self) -> None:
        self.peer.send(b"x" * 70000)
        self.assertFalse(self.peer.transport.reading)
        self.successResultOf(self.start(self.connection.receive()))
        self.assertTrue(self.peer.transport.reading)

    def test_an_endless_answer_is_given_up(self) -> None:
        reading = self.start(read(self.connection, Line()))
        for _ in range(20):
            self.peer.send(b"x" * 60000)
        self.assertIn("more than", self.failureResultOf(reading, Broken).value.cause)

    def test_half_an_answer(self) -> None:
        reading = self.start(read(self.connection, Line()))
        self.peer.send(b"half")
        self.peer.close()
        self.assertIn("in the middle", self.failureResultOf(reading, Broken).value.cause)

    def test_patience_bounds_each_wait(self) -> None:
        self.connection.patience = 5.0
        receiving = self.start(self.connection.receive())
        self.reactor.advance(4)
        self.peer.send(b"x")
        self.successResultOf(receiving)
        self.peer.fill()
        for waiting in (self.start(self.connection.receive()), self.start(self.connection.send(b"y"))):
            self.reactor.advance(5)
            self.assertIn("within 5 s", self.failureResultOf(waiting, Broken).value.cause)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class ContentTests(SynchronousTestCase):
    DATA = b"From: a@b.test\r\n\r\n" + bytes(range(256)) * 3000

    def message(self) -> Message:
        path = self.mktemp()
        Path(path).write_bytes(self.DATA)
        return Message(FileContent(path, len(self.DATA)), self.DATA[:18])

    def pieces(self, message: Message, **arguments: int) -> list[bytes]:
        pieces = Pieces(message, ThreadsInline(), **arguments)
        found: list[bytes] = []

        async def collect() -> None:
            while piece := await pieces.next():
                found.append(piece)

        self.successResultOf(Deferred.fromCoroutine(collect()))
        return found

    def test_pieces_of_memory_and_of_a_file(self) -> None:
        for message in (Message.from_bytes(self.DATA), self.message()):
            for size in (65535, 1000, 10**7):
                pieces = self.pieces(message, start=18, size=size)
                self.assertEqual(b"".join(pieces), self.DATA[18:])
                self.assertLessEqual(max(map(len, pieces)), size)
            self.assertEqual(b"".join(self.pieces(message)), self.DATA)

    def test_no_body(self) -> None:
        self.assertEqual(self.pieces(Message.from_bytes(self.DATA[:18]), start=18), [])

    def test_no_more_is_sent_than_the_engine_takes(self) -> None:
        reactor = EngineReactor()
        connecting = Deferred.fromCoroutine(connect(Address("/x"), reactor, 3.0))
        peer = reactor.accept()
        connection = self.successResultOf(connecting)
        peer.fill()
        pieces = Pieces(self.message(), ThreadsInline())
        sending = Deferred.fromCoroutine(send_content(connection, pieces, b"<", lambda p: p, b">"))
        self.assertLess(len(peer.received), 300 * 1024)
        self.assertNoResult(sending)
        peer.drain()
        self.successResultOf(sending)
        self.assertEqual(peer.received, b"<" + self.DATA + b">")

    def test_an_early_answer_ends_the_sending(self) -> None:
        reactor = EngineReactor()
        connecting = Deferred.fromCoroutine(connect(Address("/x"), reactor, 3.0))
        peer = reactor.accept()
        connection = self.successResultOf(connecting)
        peer.fill()
        sending = Deferred.fromCoroutine(send_content(connection, Pieces(self.message(), ThreadsInline())))
        peer.send(b"too large\n")
        peer.drain()
        self.successResultOf(sending)
        self.assertLess(len(peer.received), 300 * 1024)


class EngineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EngineReactor()

    def make(self, paths: Sequence[str] = ("/a",), failures: int = 2) -> Engine:
        addresses = [Address(path) for path in paths]
        return Engine(
            "test", addresses, self.reactor, time_limit=20.0, connect_timeout=3.0, failures=failures, pause=30.0
        )

    def ask(self, engine: Engine) -> Deferred[bytes]:
        return Deferred.fromCoroutine(engine.ask(ask_line))

    def answer(self, line: bytes = b"yes\n") -> Peer:
        peer = self.reactor.accept()
        peer.send(line)
        return peer

    def cause(self, asking: Deferred[bytes]) -> str:
        error = self.failureResultOf(asking, TemporaryFailure).value
        assert isinstance(error, TemporaryFailure)
        return error.cause

    def test_an_answer(self) -> None:
        asking = self.ask(self.make())
        peer = self.answer()
        self.assertEqual(self.successResultOf(asking), b"yes\n")
        self.assertTrue(peer.ended)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_the_next_address_when_the_first_fails(self) -> None:
        asking = self.ask(self.make(("/a", "/b", "/c")))
        self.assertEqual(self.reactor.asked, ["/a"])
        self.reactor.refuse(ConnectionRefusedError())
        self.assertEqual(self.reactor.asked, ["/b"])
        self.reactor.accept().close()
        self.assertEqual(self.reactor.asked, ["/c"])
        self.answer()
        self.successResultOf(asking)

    def test_every_cause_is_named_when_none_answers(self) -> None:
        asking = self.ask(self.make(("/a", "/b")))
        self.reactor.refuse(ConnectionRefusedError())
        self.reactor.accept().lose()
        cause = self.cause(asking)
        self.assertRegex(cause, r"^unix:/a: no connection: .*; unix:/b: the connection was lost")

    def test_who_is_down_is_not_asked(self) -> None:
        engine = self.make(("/a", "/b"))
        for _ in range(2):
            asking = self.ask(engine)
            self.reactor.refuse(ConnectionRefusedError())
            self.answer()
            self.successResultOf(asking)
        asking = self.ask(engine)
        self.assertEqual(self.reactor.asked, ["/b"])
        self.answer()
        self.successResultOf(asking)

    def test_all_down_is_said_at_once_and_one_message_tries_again(self) -> None:
        engine = self.make()
        for _ in range(2):
            asking = self.ask(engine)
            self.reactor.refuse(ConnectionRefusedError())
            self.cause(asking)
        self.failureResultOf(self.ask(engine), NotAsked)
        self.reactor.advance(30)
        probe = self.ask(engine)
        self.assertIn("not asked", self.cause(self.ask(engine)))
        self.answer()
        self.successResultOf(probe)
        asking = self.ask(engine)
        self.answer()
        self.successResultOf(asking)

    def test_silence_until_the_time_limit_is_a_failure_and_leaves_no_connection(self) -> None:
        engine = self.make(failures=1)
        asking = self.ask(engine)
        peer = self.reactor.accept()
        self.reactor.advance(20)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(peer.transport.aborted)
        self.assertIn("no answer within 20 s", self.cause(self.ask(engine)))

    def test_a_client_that_goes_is_no_failure_of_the_engine(self) -> None:
        engine = self.make(failures=1)
        for accepted in (True, False):
            asking = self.ask(engine)
            if accepted:
                self.reactor.accept()
            self.reactor.advance(2)
            asking.cancel()
            self.failureResultOf(asking, CancelledError)
        self.reactor.unixClients.clear()
        asking = self.ask(engine)
        self.answer()
        self.successResultOf(asking)

    def test_an_orderly_no_does_not_count(self) -> None:
        async def decline(connection: Connection) -> bytes:
            raise Declined("busy")

        engine = self.make(failures=1)
        for _ in range(3):
            asking = Deferred.fromCoroutine(engine.ask(decline))
            self.reactor.accept()
            self.assertEqual(self.cause(asking), "unix:/a: busy")

    def test_a_bug_of_ours_is_not_taken_for_theirs(self) -> None:
        async def bug(connection: Connection) -> bytes:
            raise ZeroDivisionError

        engine = self.make(failures=1)
        asking = Deferred.fromCoroutine(engine.ask(bug))
        peer = self.reactor.accept()
        self.failureResultOf(asking, ZeroDivisionError)
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(self.reactor.asked, [])
        self.ask(engine)
        self.assertEqual(self.reactor.asked, ["/a"])
