"""A gateway behind a balancer, with raw clients and swaks; early talkers; and what nmap thinks of it."""

from __future__ import annotations

import ipaddress
import shutil
import signal
import socket
import ssl
import struct
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue

from tests.integration.gateway import PASSWORD
from tests.integration.world import GatewayTestCase, in_thread, swaks, unverified

LISTENERS = """
[listeners.balanced]
addresses = ["127.0.0.1:0"]
proxy_networks = ["127.0.0.0/8"]

[listeners.balanced_submissions]
addresses = ["127.0.0.1:0"]
kind = "submission"
tls = "implicit"
proxy_networks = ["127.0.0.0/8"]

[listeners.relayed]
addresses = ["127.0.0.1:0"]
xclient_networks = ["127.0.0.1"]
"""
# The script says 40 things that are wrong; a session that ends early would hide the rest.
PATIENT = """
[limits]
soft_errors = 100
hard_errors = 100
unknown_recipients = 100
"""
LINE = b"PROXY TCP4 192.0.2.77 127.0.0.1 40000 25\r\n"
BINARY = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(
    "!BBH16s16sHH",
    *(0x21, 0x21, 41),
    *(ipaddress.IPv6Address("2001:db8::77").packed, ipaddress.IPv6Address("2001:db8::1").packed, 40000, 25),
)
TLV = b"\x04\0\x02\0\0"
MESSAGE = b"From: carol@sender.test\r\nSubject: balanced\r\n\r\nHello\r\n"


class Conversation:
    """A blocking client that says what it likes when it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.transcript = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> bytes:
        """Read one reply; empty when the connection is closed."""
        reply = b""
        while not reply.endswith(b"\n") or reply.split(b"\n")[-2][3:4] == b"-":
            try:
                octet = self.socket.recv(1)
            except ConnectionResetError:
                octet = b""
            if not octet:
                return reply
            reply += octet
        self.transcript += reply
        return reply

    def deliver(self) -> bytes:
        """Send a message behind the greeting; give the reply to it."""
        for line in ("EHLO mail.sender.test", "MAIL FROM:<carol@sender.test>", "RCPT TO:<alice@example.test>", "DATA"):
            self.send(line.encode() + b"\r\n")
            self.reply()
        self.send(MESSAGE + b".\r\n")
        return self.reply()


def proxied(port: int, header: bytes, pieces: bool = False) -> bytes:
    """Deliver a message behind a header, which may go octet by octet."""
    client = Conversation(port)
    with client.socket:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(len(header)) if pieces else ():
            client.send(header[n : n + 1])
        if not pieces:
            client.send(header)
        client.reply()
        return client.deliver()


def said(port: int, data: bytes) -> bytes:
    """Send bytes at once; give all that comes until the server closes."""
    client = Conversation(port)
    with client.socket:
        client.send(data)
        while client.reply():
            pass
        return client.transcript


def tls_behind_header(port: int, header: bytes) -> bytes:
    """Send a header and the beginning of a handshake in one segment; give the greeting."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = unverified().wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        while True:
            try:
                tls.do_handshake()
                return tls.read()
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    connection.sendall(header + outgoing.read())
                    header = b""
                data = connection.recv(65536)
                if not data:
                    return b""
                incoming.write(data)


class BalancerTestCase(GatewayTestCase):
    more = LISTENERS

    async def setUp(self) -> None:
        await self.make_world(zone={"sender.test": {"TXT": ["v=spf1 ip4:192.0.2.77 -all"]}})
        await self.start_gateway(more=self.more)

    async def delivered(self) -> str:
        await self.until(lambda: bool(self.gateway.folder("alice")))
        return self.gateway.folder("alice")[-1].decode()


class ProxyTests(BalancerTestCase):
    async def test_version_1(self) -> None:
        self.assertIn(b"250 2.0.0", await in_thread(proxied, self.gateway.ports["balanced"], LINE))
        message = await self.delivered()
        self.assertIn("Received: from mail.sender.test ([192.0.2.77])", message)
        self.assertIn("spf=pass", message)
        event = await self.gateway.wait_for(event="accepted")
        self.assertEqual(event["address"], "192.0.2.77")

    async def test_version_2_with_tlvs_octet_by_octet(self) -> None:
        self.assertIn(b"250 2.0.0", await in_thread(proxied, self.gateway.ports["balanced"], BINARY + TLV, True))
        message = await self.delivered()
        self.assertIn("Received: from mail.sender.test ([IPv6:2001:db8::77])", message)
        self.assertIn("spf=fail", message)

    async def test_the_balancers_own_connections(self) -> None:
        for header in (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"PROXY UNKNOWN\r\n"):
            self.assertIn(b"250 2.0.0", await in_thread(proxied, self.gateway.ports["balanced"], header))
            event = await self.gateway.wait_for(event="accepted")
            self.assertEqual(event["address"], "127.0.0.1")
            self.gateway.events.clear()

    async def test_ahead_of_implicit_tls(self) -> None:
        greeting = await in_thread(tls_behind_header, self.gateway.ports["balanced_submissions"], LINE)
        self.assertTrue(greeting.startswith(b"220 mail.example.test"), greeting)
        await self.gateway.wait_for(event="connected", address="192.0.2.77")
        greeting = await in_thread(tls_behind_header, self.gateway.ports["balanced_submissions"], BINARY + TLV)
        self.assertTrue(greeting.startswith(b"220 mail.example.test"), greeting)

    async def test_no_header_no_session(self) -> None:
        self.assertEqual(await in_thread(said, self.gateway.ports["balanced"], b"EHLO client.test\r\n"), b"")
        event = await self.gateway.wait_for(event="proxy_refused")
        self.assertEqual(event["address"], "127.0.0.1")

    async def test_nobody_else_may_send_one(self) -> None:
        replies = await in_thread(said, self.gateway.ports["mx"], LINE + b"EHLO x\r\n")
        self.assertRegex(replies, rb"\A220 [^\r]*\r\n550 5\.7\.0 [^\r]*\r\n\Z")
        replies = await in_thread(said, self.gateway.ports["mx"], BINARY + TLV + b"\r\nQUIT\r\n")
        self.assertRegex(replies, rb"\A220 [^\r]*\r\n(?:50[0-9] [^\r]*\r\n)+221 [^\r]*\r\n\Z")


class SwaksTests(BalancerTestCase):
    if shutil.which("swaks") is None:
        skip = "swaks is not installed"

    async def send(self, listener: str, *arguments: str) -> str:
        text, status = await swaks(
            *("--server", f"127.0.0.1:{self.gateway.ports[listener]}", "--helo", "mail.sender.test"),
            *("--from", "carol@sender.test", "--to", "alice@example.test", *arguments),
        )
        self.assertEqual(status, 0, text)
        return await self.delivered()

    async def test_proxy_version_1(self) -> None:
        message = await self.send(
            *("balanced", "--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-source", "192.0.2.77"),
            *("--proxy-source-port", "40000", "--proxy-dest", "127.0.0.1", "--proxy-dest-port", "25", "--tls"),
        )
        self.assertIn("([192.0.2.77])", message)

    async def test_proxy_version_2(self) -> None:
        message = await self.send(
            *("balanced", "--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-source", "192.0.2.77"),
            *("--proxy-source-port", "40000", "--proxy-dest", "127.0.0.1", "--proxy-dest-port", "25"),
        )
        self.assertIn("([192.0.2.77])", message)

    async def test_pipelining_with_leave_is_no_signal(self) -> None:
        await self.send("mx", "--pipeline")
        event = await self.gateway.wait_for(event="accepted")
        self.assertNotIn("PIPELINING_WITHOUT_LEAVE", event["symbols"])

    async def test_xclient(self) -> None:
        message = await self.send(
            *("relayed", "--xclient-addr", "192.0.2.77", "--xclient-name", "[UNAVAILABLE]", "--xclient-delim"),
            *("--xclient-helo", "mail sender", "--xclient-port", "40000", "--xclient-proto", "ESMTP"),
        )
        self.assertIn("from mail.sender.test ([192.0.2.77])", message)
        self.assertIn("spf=pass", message)

    async def test_xclient_is_refused_elsewhere(self) -> None:
        text, status = await swaks(
            *("--server", f"127.0.0.1:{self.gateway.ports['mx']}", "--to", "alice@example.test"),
            *("--xclient-addr", "192.0.2.77", "--xclient-no-verify", "--xclient", "ADDR=192.0.2.77"),
        )
        self.assertNotEqual(status, 0)
        text, status = await swaks(
            *("--server", f"127.0.0.1:{self.gateway.ports['relayed']}", "--to", "alice@example.test"),
            *("--xclient-no-verify", "--xclient-login", "alice@example.test"),
        )
        self.assertIn("550 5.7.0", text)


class EarlyTalkerTests(BalancerTestCase):
    async def test_who_speaks_before_the_greeting_is_seen_without_a_delay(self) -> None:
        # A gateway that stands still accepts the connection later than the client speaks.
        self.gateway._transport.signalProcess(signal.SIGSTOP)
        client = Conversation(self.gateway.ports["mx"])
        self.addCleanup(client.socket.close)
        client.send(b"EHLO mail.sender.test\r\n")
        self.gateway._transport.signalProcess(signal.SIGCONT)
        await in_thread(client.reply)
        await in_thread(client.reply)
        self.assertIn(b"250 2.0.0", await in_thread(client.deliver))
        event = await self.gateway.wait_for(event="accepted")
        self.assertIn("EARLY_TALKER", event["symbols"])

    async def test_who_waits_is_not_suspected(self) -> None:
        client = Conversation(self.gateway.ports["mx"])
        self.addCleanup(client.socket.close)
        await in_thread(client.reply)
        self.assertIn(b"250 2.0.0", await in_thread(client.deliver))
        message = await self.delivered()
        event = await self.gateway.wait_for(event="accepted")
        for prefix in ("EARLY", "PIPELINING", "HELO"):
            self.assertFalse([symbol for symbol in event["symbols"] if symbol.startswith(prefix)], event)
        self.assertIn("from mail.sender.test (mail.sender.test [127.0.0.1])", message)


class HiddenClientTests(BalancerTestCase):
    more = "[trace]\nhide_client_address = true\n"

    async def test_the_address_of_a_user_is_in_no_field(self) -> None:
        if shutil.which("swaks") is None:
            self.skipTest("swaks is not installed")
        text, status = await swaks(
            *("--server", f"127.0.0.1:{self.gateway.ports['submission']}", "--helo", "anns-phone.test", "--tls"),
            *("--auth", "PLAIN", "--auth-user", "alice@example.test", "--auth-password", PASSWORD),
            *("--from", "alice@example.test", "--to", "dave@outside.test"),
        )
        self.assertEqual(status, 0, text)
        await self.until(lambda: len(self.sink.received) == 1)
        (message,) = self.sink.received
        self.assertIn(b"Received: from client.invalid (authenticated user)\r\n by mail.example.test", message.content)
        for part in (b"127.0.0.1", b"anns-phone"):
            self.assertNotIn(part, message.content)


class NmapTests(BalancerTestCase):
    if shutil.which("nmap") is None:
        skip = "nmap is not installed"
    more = PATIENT

    async def script(self, listener: str) -> str:
        program: Any = shutil.which("nmap")
        port = str(self.gateway.ports[listener])
        arguments = ("-Pn", "-n", "-d", "-p", port, "--script", "+smtp-open-relay", "127.0.0.1")
        out, err, status = await getProcessOutputAndValue(program, arguments, env={"PATH": "/usr/bin:/bin"})
        self.assertEqual(status, 0, err)
        text: str = out.decode(errors="replace")
        return text

    async def test_smtp_open_relay_finds_nothing(self) -> None:
        text = await self.script("mx")
        self.assertIn("Server doesn't seem to be an open relay, all tests failed", text)
        text = await self.script("submission")
        self.assertIn("Server isn't an open relay, authentication needed", text)
        self.assertEqual(self.sink.received, [])
