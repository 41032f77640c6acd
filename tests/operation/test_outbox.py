"""What is written to connections goes out at the end of the reactor's turn, in order, and nothing of it is lost."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mailgw.operation.outbox import Outbox


class Socket:
    """Takes `room` octets."""

    def __init__(self) -> None:
        self.room = 1000
        self.error: OSError | None = None
        self.taken: list[bytes] = []

    def fileno(self) -> int:
        return 99

    def setblocking(self, flag: bool) -> None: ...

    def send(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.taken.append(taken)
        return len(taken)

    def sendmsg(self, pieces: list[bytes]) -> int:
        return self.send(b"".join(pieces))


class Reactor:
    def __init__(self) -> None:
        self.writers: list[Any] = []

    def addWriter(self, writer: Any) -> None:
        self.writers.append(writer)

    def removeWriter(self, writer: Any) -> None: ...


class OutboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.outbox = Outbox(self.clock)
        self.socket = Socket()
        self.reactor = Reactor()
        self.transport: Any = Connection(self.socket, None, self.reactor)  # type: ignore[arg-type]
        self.transport.connected = True

    def test_what_is_written_in_one_turn_goes_out_at_its_end_as_one(self) -> None:
        self.outbox.write(self.transport, b"250 a\r\n")
        self.outbox.write(self.transport, b"250 b\r\n")
        self.assertEqual(self.socket.taken, [])
        self.clock.advance(0)
        self.assertEqual(self.socket.taken, [b"250 a\r\n250 b\r\n"])
        self.assertEqual(self.reactor.writers, [])

    def test_the_next_turn_writes_again(self) -> None:
        for text in (b"1", b"2"):
            self.outbox.write(self.transport, text)
            self.clock.advance(0)
        self.assertEqual(self.socket.taken, [b"1", b"2"])

    def test_what_the_kernel_does_not_take_goes_out_when_it_has_room_and_before_what_follows(self) -> None:
        self.socket.room = 2
        self.outbox.write(self.transport, b"abc")
        self.clock.advance(0)
        self.assertEqual(self.reactor.writers, [self.transport])
        self.socket.room = 1000
        self.outbox.write(self.transport, b"def")
        self.clock.advance(0)
        self.transport.doWrite()
        self.assertEqual(b"".join(self.socket.taken), b"abcdef")

    def test_whatever_part_of_several_pieces_the_kernel_takes_the_rest_follows(self) -> None:
        for room in range(10):
            with self.subTest(room=room):
                self.setUp()
                self.socket.room = room
                for piece in (b"ab", b"cde", b"", b"fghi"):
                    self.outbox.write(self.transport, piece)
                self.clock.advance(0)
                self.socket.room = 1000
                self.transport.doWrite()
                self.assertEqual(b"".join(self.socket.taken), b"abcdefghi")

    def test_any_number_of_pieces(self) -> None:
        for number in range(100):
            self.outbox.write(self.transport, b"%d." % number)
        self.clock.advance(0)
        self.assertEqual(self.socket.taken, [b"".join(b"%d." % number for number in range(100))])

    def test_without_any_room_nothing_is_lost(self) -> None:
        self.socket.error = BlockingIOError()
        self.outbox.write(self.transport, b"abc")
        self.clock.advance(0)
        self.socket.error = None
        self.transport.doWrite()
        self.assertEqual(self.socket.taken, [b"abc"])

    def test_a_broken_connection_is_left_to_the_reactor(self) -> None:
        self.socket.error = BrokenPipeError(32, "broken")
        self.outbox.write(self.transport, b"abc")
        self.clock.advance(0)
        self.assertEqual(self.reactor.writers, [self.transport])
        self.assertIsNotNone(self.transport.doWrite())

    def test_nothing_is_written_to_a_connection_that_was_lost_meanwhile(self) -> None:
        self.outbox.write(self.transport, b"abc")
        self.transport.connected = False
        self.clock.advance(0)
        self.assertEqual((self.socket.taken, self.reactor.writers), ([], []))

    def test_flush_does_not_wait(self) -> None:
        self.outbox.write(self.transport, b"220 go ahead\r\n")
        self.outbox.flush()
        self.assertEqual(self.socket.taken, [b"220 go ahead\r\n"])
        self.clock.advance(0)
        self.assertEqual(len(self.socket.taken), 1)

    def test_other_transports_buffer_by_themselves(self) -> None:
        other = StringTransport()
        self.outbox.write(other, b"abc")
        self.assertEqual(other.value(), b"abc")
