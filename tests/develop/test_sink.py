"""The sink: a polite next hop, and a rude one."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.config.schema import Tls
from mailgw.develop.setup import Layout, Ports, prepare
from mailgw.develop.sink import Manners, Sink, SinkSession
from mailgw.mail.reply import Reply
from mailgw.operation.tls import server_options

SESSION = (
    b"EHLO client.test\r\n"
    b"MAIL FROM:<ann@sender.test>\r\n"
    b"RCPT TO:<zoe@outside.test>\r\nRCPT TO:<yan@outside.test>\r\n"
    b"DATA\r\n",
    b"Subject: hello\r\n\r\n..dot\r\n.\r\n",
    b"QUIT\r\n",
)
MESSAGE = b"Subject: hello\r\n\r\n.dot\r\n"


class Transport(StringTransportWithDisconnection):
    def abortConnection(self) -> None:
        self.loseConnection()


class SinkTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)

    def connect(self, sink: Sink) -> tuple[SinkSession, Transport]:
        session = SinkSession(sink)
        transport = Transport()
        transport.protocol = session
        session.makeConnection(transport)
        return session, transport

    def talk(self, sink: Sink, *pieces: bytes) -> tuple[list[int], Transport]:
        """Say the pieces; give the codes of the replies (of the last line of each)."""
        session, transport = self.connect(sink)
        for piece in pieces or SESSION:
            if transport.connected:
                session.dataReceived(piece)
        lines = transport.value().decode().splitlines()
        return [int(line[:3]) for line in lines if line[3:4] == " "], transport

    def test_takes_a_message(self) -> None:
        sink = Sink(self.clock)
        codes, transport = self.talk(sink)
        self.assertEqual(codes, [220, 250, 250, 250, 250, 354, 250, 221])
        self.assertFalse(transport.connected)
        [message] = sink.received
        self.assertEqual(str(message.reverse_path), "ann@sender.test")
        self.assertEqual([str(r) for r in message.recipients], ["zoe@outside.test", "yan@outside.test"])
        self.assertEqual(message.content, MESSAGE)

    def test_writes_a_file_with_the_envelope(self) -> None:
        folder = Path(self.mktemp())
        codes, _ = self.talk(Sink(self.clock, folder))
        self.assertEqual(codes[-2], 250)
        [file] = folder.iterdir()
        self.assertEqual(file.suffix, ".eml")
        self.assertEqual(
            file.read_bytes(),
            b"X-Envelope-From: <ann@sender.test>\r\n"
            b"X-Envelope-To: <zoe@outside.test>,\r\n\t<yan@outside.test>\r\n" + MESSAGE,
        )

    def test_null_reverse_path(self) -> None:
        sink = Sink(self.clock)
        self.talk(sink, SESSION[0].replace(b"ann@sender.test", b""), *SESSION[1:])
        self.assertTrue(sink.received[0].encode().startswith(b"X-Envelope-From: <>\r\n"))

    def test_transactions_do_not_mix(self) -> None:
        sink = Sink(self.clock)
        again = SESSION[0].partition(b"\r\n")[2].replace(b"zoe", b"bob").replace(b"yan", b"bob")
        self.talk(sink, *SESSION[:2], again, b"second\r\n.\r\n")
        first, second = sink.received
        self.assertEqual(first.content, MESSAGE)
        self.assertEqual(
            (second.content, [str(r) for r in second.recipients]), (b"second\r\n", ["bob@outside.test"] * 2)
        )

    def test_refuses_at_a_stage(self) -> None:
        for stage, position in (("connect", 0), ("hello", 1), ("mail", 2), ("rcpt", 3), ("data", 5), ("end", 6)):
            sink = Sink(self.clock, manners=Manners(replies={stage: Reply.of(451, "4.3.0", "Not now")}))
            codes, _ = self.talk(sink)
            self.assertEqual(codes[position], 451, stage)
            self.assertEqual(sink.received, [], stage)

    def test_refuses_one_recipient(self) -> None:
        sink = Sink(self.clock, manners=Manners(recipients={"zoe@outside.test": Reply.of(550, "5.1.1", "Who?")}))
        codes, _ = self.talk(sink)
        self.assertEqual(codes, [220, 250, 250, 550, 250, 354, 250, 221])
        self.assertEqual([str(r) for r in sink.received[0].recipients], ["yan@outside.test"])

    def test_hangs_up(self) -> None:
        replies = {"connect": 0, "hello": 1, "mail": 2, "rcpt": 3, "data": 5, "content": 6, "end": 6}
        for stage, count in replies.items():
            sink = Sink(self.clock, manners=Manners(hang_up=stage))  # type: ignore[arg-type]
            codes, transport = self.talk(sink)
            self.assertEqual((len(codes), transport.connected), (count, False), stage)
            self.assertEqual(sink.received, [], stage)

    def test_is_slow(self) -> None:
        sink = Sink(self.clock, manners=Manners(delay=2.0))
        session, transport = self.connect(sink)
        session.dataReceived(b"EHLO client.test\r\nNOOP\r\n")
        self.assertEqual(transport.value(), b"")
        self.assertEqual(transport.producerState, "paused")
        self.clock.pump([2.0, 2.0])
        self.assertNotIn(b"250 2.0.0", transport.value())
        self.clock.advance(2.0)
        self.assertIn(b"250 2.0.0 OK\r\n", transport.value())
        self.assertEqual(transport.producerState, "producing")

    def test_client_that_goes_away_while_it_is_slow(self) -> None:
        sink = Sink(self.clock, manners=Manners(delay=2.0))
        _, transport = self.connect(sink)
        transport.loseConnection()
        self.clock.advance(2.0)
        self.assertEqual((transport.value(), sink.connections), (b"", set()))

    def test_auth_is_refused(self) -> None:
        codes, _ = self.talk(Sink(self.clock), b"EHLO c.test\r\nAUTH PLAIN AGEAYg==\r\n")
        self.assertEqual(codes[-1] // 100, 5)


class NetworkTest(TestCase):
    """With the standard library's client."""

    def serve(self, **options: Any) -> tuple[Sink, int]:
        from twisted.internet import reactor

        sink = Sink(reactor, **options)
        port = sink.start()
        self.addCleanup(sink.stop)
        return sink, port

    async def test_starttls(self) -> None:
        layout = Layout(Path(self.mktemp()))
        prepare(layout, Ports(), Path("nowhere"), time.time())
        tls = server_options(Tls(str(layout.certificate), str(layout.certificate_key)))
        sink, port = self.serve(tls=tls)

        def client() -> None:
            context = ssl.create_default_context(cafile=str(layout.certificate))
            with smtplib.SMTP("localhost", port, timeout=10) as smtp:
                smtp.starttls(context=context)
                smtp.sendmail("ann@sender.test", ["zoe@outside.test"], MESSAGE)

        await deferToThread(client)
        self.assertEqual(sink.received[0].content, MESSAGE)

    async def test_stop_cuts_off(self) -> None:
        sink, port = self.serve()

        def greeting() -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.recv(100)
            return connection

        connection = await deferToThread(greeting)
        await sink.stop()
        with connection:
            try:
                rest = await deferToThread(connection.recv, 100)
            except ConnectionResetError:
                rest = b""
        self.assertEqual((rest, sink.connections), (b"", set()))
