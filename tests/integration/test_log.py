"""The log of a gateway, as text: one line an event, whatever clients say."""

from __future__ import annotations

import re
import socket

from tests.integration.gateway import Gateway
from tests.integration.peers import free_port
from tests.integration.world import GatewayTestCase, in_thread

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error|critical) \S")
FORGED = "2026-01-01T00:00:00.000Z info delivered FORGED"
# Line ends and commands to terminals, as a header field can hold them (folded), or as UTF-8 has them.
AWKWARD = f"\r\n {FORGED}\v{FORGED}\f{FORGED}\x85{FORGED}\u2028{FORGED}\x1b[2J\x1b]0;title\x07\x9b31m"
MESSAGE = f"From: a@sender.test\r\nMessage-ID: <m{AWKWARD}>\r\nSubject: s{AWKWARD}\r\n\r\nbody\r\n"


def talk(port: int) -> list[bytes]:
    """Say what can be said awkwardly; give the answers."""
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, connection.makefile("rb") as file:
        file.readline()
        for command in (
            f"HELO a\v{FORGED}\x1b[2J\x85x",
            "HELO a\x7f\x1b[2J",
            "HELO client.test",
            f"MAIL FROM:<a\x85{FORGED}@sender.test>",
            f"NOSUCH \x1b[2J\v{FORGED}",
            'MAIL FROM:<"a\\ b"@sender.test>',
            f'RCPT TO:<"x\v{FORGED}"@example.test>',
            "RCPT TO:<alice@example.test>",
            "DATA",
            MESSAGE + ".",
            "QUIT",
        ):
            connection.sendall(command.encode() + b"\r\n")
            answers.append(file.readline())
    return answers


class TextLogTests(GatewayTestCase):
    async def test_one_line_an_event(self) -> None:
        await self.make_world()
        port = free_port()
        gateway = self.gateway = Gateway(self.mktemp(), dns=self.dns_port, mx=port)
        gateway.write_configuration()
        configuration = gateway.etc / "mailgw.toml"
        configuration.write_text(configuration.read_text().replace('format = "json"', 'format = "text"'))
        self.addCleanup(self.coroutine, gateway.kill)
        gateway.spawn()
        await self.until(lambda: gateway.output.count("listening on") == 3)
        answers = await in_thread(talk, port)
        self.assertEqual(answers[-2][:3], b"250", answers)
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        _, output = await gateway.stop()
        self.assertIn("FORGED", output)
        for line in output.splitlines():  # at every line end that Unicode knows
            self.assertRegex(line, LINE)
            self.assertTrue(line.isprintable(), line)
            self.assertFalse(line.startswith(FORGED), line)
        self.assertEqual(len([line for line in output.splitlines() if " info accepted " in line]), 1)
