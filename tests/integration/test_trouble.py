"""Trouble from outside: bad input, silent DNS, a sink that hangs up, a disk that is full, wrong settings."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import subprocess
import time
from pathlib import Path

from mailgw.develop.sink import Manners
from mailgw.queue.listing import Listing
from tests.integration.gateway import Gateway
from tests.integration.world import GatewayTestCase, in_thread, send

MESSAGE = b"From: a@sender.test\r\nTo: alice@example.test\r\nSubject: x\r\n\r\nbody\r\n"


def talk(port: int, *segments: bytes) -> bytes:
    """Send raw bytes to the mx port; give all that is answered until the server closes, or QUIT ends it."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            for segment in segments:
                connection.sendall(segment)
                time.sleep(0.05)  # so that the segments stay apart
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed on us: what it said is still to be read
        answer = b""
        try:
            while data := connection.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
        return answer


class BadInputTests(GatewayTestCase):
    """Each gets a clear answer, and a message body never becomes a command."""

    async def setUp(self) -> None:
        await self.make_world()
        await self.start_gateway()

    async def say(self, *segments: bytes) -> str:
        answer: bytes = await in_thread(talk, self.gateway.ports["mx"], *segments)
        return answer.decode(errors="replace")

    async def test_commands_out_of_order(self) -> None:
        self.assertIn("503 5.5.1", await self.say(b"DATA\r\nQUIT\r\n"))
        self.assertIn("503 5.5.1", await self.say(b"EHLO c\r\nRCPT TO:<alice@example.test>\r\nQUIT\r\n"))

    async def test_a_line_of_ten_megabytes(self) -> None:
        answer = await self.say(b"EHLO " + b"x" * 10_000_000 + b"\r\nQUIT\r\n")
        self.assertIn("500 5.5.2 The line is too long", answer)
        self.assertIn("221 2.0.0", answer)

    async def test_nul_and_bare_lf_in_commands(self) -> None:
        self.assertIn("500 5.5.2", await self.say(b"EHLO c\0d\r\nQUIT\r\n"))
        self.assertIn("5.5.2", await self.say(b"EHLO c\nMAIL FROM:<>\nQUIT\r\n"))

    async def test_an_unknown_parameter(self) -> None:
        self.assertIn("555 5.5.4", await self.say(b"EHLO c\r\nMAIL FROM:<> FOO=BAR\r\nQUIT\r\n"))

    async def test_an_address_without_a_domain(self) -> None:
        self.assertIn("501 5.1.3", await self.say(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice>\r\nQUIT\r\n"))

    async def test_auth_in_clear(self) -> None:
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["submission"]) as client:
            client.ehlo("c")
            self.assertNotIn("auth", client.esmtp_features)
            self.assertEqual(client.docmd("AUTH PLAIN AGEAYg==")[0], 538)

    async def test_smuggled_commands_are_not_run(self) -> None:
        for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r\n\0.\r\n"):
            answer = await self.say(
                b"EHLO c\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n",
                MESSAGE
                + end
                + b"MAIL FROM:<evil@sender.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n",
            )
            self.assertRegex(answer, r"\r\n5\d\d 5\.\d+\.\d+ ", end)
            self.assertEqual(answer.count("354"), 1, end)
        self.assertEqual(self.gateway.folder("bob"), [])

    async def test_commands_ahead_of_the_handshake_close_the_connection(self) -> None:
        answer = await self.say(b"EHLO c\r\nSTARTTLS\r\nMAIL FROM:<evil@sender.test>\r\n")
        self.assertNotIn("2.1.0", answer)
        self.assertNotIn("\r\n220 ", answer)


class TroubleTests(GatewayTestCase):
    async def test_dns_that_never_answers_costs_its_limit_and_no_message(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway(dns_timeout=1)
        before = time.monotonic()
        await in_thread(send, gateway.ports["mx"], "a@silent.test", ["alice@example.test"], MESSAGE)
        self.assertLess(time.monotonic() - before, 10)
        await gateway.wait_for(event="delivered")
        self.assertIn(b"spf=temperror", gateway.folder("alice")[0])

    async def test_a_next_hop_that_hangs_up_in_data_gets_the_message_later(self) -> None:
        await self.make_world(Manners(hang_up="content"))
        gateway = await self.start_gateway(more="[queue]\nretry = [1.0]\njitter = 0.0")
        await in_thread(send_outside, gateway)
        await self.until(lambda: "127.0.0.1" in self.last_said())
        self.sink.manners = Manners()
        await self.until(lambda: len(self.sink.received) == 1)

    def last_said(self) -> str:
        """What the last attempt of the message in the queue said."""
        with Listing(self.gateway.state / "queue") as listing:
            entries = list(listing.entries(1))
        return entries[0].deliveries[0].last if entries else ""

    async def test_no_mail_domain_is_told_to_the_sender(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        await in_thread(send_outside, gateway, "x@nomail.test")
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        self.assertIn(b"5.1.10", gateway.folder("alice")[0])

    async def test_a_full_disk_is_a_clear_answer_and_over_when_it_is(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("a small tmpfs can be mounted by root only")
        await self.make_world()
        state = Path(self.mktemp()).absolute()
        state.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(state)]
        if subprocess.run(mount, capture_output=True).returncode:
            self.skipTest("a tmpfs cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(state)])
        gateway = await self.start_gateway(state=state, more="[queue]\nminimum_free = 0")
        filler = state / "filler"
        filler.write_bytes(b"\0" * 3_500_000)
        large = MESSAGE + (b"x" * 70 + b"\r\n") * 20_000
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            await in_thread(send, gateway.ports["mx"], "a@sender.test", ["alice@example.test"], large)
        self.assertEqual(refused.exception.smtp_code, 452)
        filler.unlink()
        await in_thread(send, gateway.ports["mx"], "a@sender.test", ["alice@example.test"], large)
        await self.until(lambda: len(gateway.folder("alice")) == 1)

    async def test_sigterm_lets_a_transaction_end(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        client = smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=30)
        self.addCleanup(client.close)
        client.ehlo("c")
        client.mail("a@sender.test")
        client.rcpt("alice@example.test")
        self.assertEqual(client.docmd("DATA")[0], 354)
        gateway._transport.signalProcess(signal.SIGTERM)
        await gateway.wait_for(event="stopping")
        client.send(MESSAGE + b".\r\n")
        code, _ = await in_thread(client.getreply)
        self.assertEqual(code, 250)
        status, output = await gateway.ended()
        self.assertEqual(status, -signal.SIGTERM, output)  # twistd ends by the signal that it got
        self.assertNotIn("Traceback", output)


class StartTests(GatewayTestCase):
    """A start that cannot be ends with one clear line, not with a traceback."""

    async def failed_start(self, files: dict[str, str] | None = None, **settings: object) -> str:
        gateway = Gateway(self.mktemp(), level="info", **settings)
        gateway.write_configuration(files or {})
        gateway.spawn()
        status, output = await gateway.ended()
        self.assertNotEqual(status, 0)
        self.assertNotIn("Traceback", output)
        (line,) = [line for line in output.splitlines() if line.startswith("mailgw: ")]
        return line

    async def test_a_busy_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            line = await self.failed_start(mx=port)
        self.assertIn(str(port), line)
        self.assertIn("listeners.mx", line)
        self.assertIn("Address already in use", line)

    async def test_a_key_that_is_not_there_or_no_key(self) -> None:
        line = await self.failed_start({"key.pem": "no key"})
        self.assertIn("tls.key_file", line)
        self.assertIn("key.pem", line)

    async def test_a_wrong_setting(self) -> None:
        line = await self.failed_start(more="[queue]\nlifetme = 1")
        self.assertIn("queue.lifetme", line)
        self.assertIn("lifetime", line)
        self.assertIn("mailgw.toml", line)

    async def test_a_user_that_does_not_exist(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can change to another user")
        gateway = Gateway(self.mktemp())
        gateway.write_configuration()
        path = gateway.etc / "mailgw.toml"
        path.write_text(path.read_text().replace('user = ""', 'user = "nobody-of-that-name"'))
        gateway.spawn()
        status, output = await gateway.ended()
        self.assertNotEqual(status, 0)
        self.assertIn("mailgw: user: there is no user 'nobody-of-that-name' here", output)
        self.assertNotIn("Traceback", output)

    async def test_a_second_gateway_on_the_same_queue(self) -> None:
        await self.make_world()
        first = await self.start_gateway()
        line = await self.failed_start(state=first.state)
        self.assertIn(str(first.state), line)


def send_outside(gateway: Gateway, recipient: str = "dave@outside.test") -> None:
    send(gateway.ports["submission"], "alice@example.test", [recipient], MESSAGE, tls=True)
