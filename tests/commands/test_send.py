"""`mailgw send`."""

from __future__ import annotations

import datetime
import socket
import ssl

from click.testing import Result

from mailgw.develop.certificate import make_certificate
from tests.commands.files import CommandTest
from tests.commands.server import ScriptedServer


class SendTests(CommandTest):
    def context(self) -> ssl.SSLContext:
        certificate, key = make_certificate(["localhost"], datetime.datetime.now(datetime.UTC))
        path = self.write("both.pem", (certificate + key).decode())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def send(
        self, server: ScriptedServer, *arguments: str, message: bytes = b"Subject: x\n\nbody\n", code: int = 0
    ) -> Result:
        addresses = () if "--from" in arguments else ("--from", "a@example.net", "--to", "b@example.org")
        try:
            return self.run_command(
                "send", "--server", server.address, *addresses, *arguments, "-", input=message, code=code
            )
        finally:
            server.finish()

    def test_a_message(self) -> None:
        server = ScriptedServer()
        result = self.send(server, message=b"Subject: x\n\n.dot\r\nend")
        self.assertEqual(
            server.commands[1:], ["MAIL FROM:<a@example.net> SIZE=23", "RCPT TO:<b@example.org>", "DATA", "QUIT"]
        )
        self.assertEqual(server.message, b"Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n")
        self.assertIn("> RCPT TO:<b@example.org>\n< 250 2.0.0 ok\n", result.stdout)
        self.assertIn("< 250 2.0.0 queued\n", result.stdout)

    def test_the_null_reverse_path(self) -> None:
        server = ScriptedServer()
        self.send(server, "--from", "", "--to", "b@example.org", "--to", "c@example.org")
        self.assertEqual(
            server.commands[1:4], ["MAIL FROM:<> SIZE=20", "RCPT TO:<b@example.org>", "RCPT TO:<c@example.org>"]
        )

    def test_refused(self) -> None:
        for command, sent in (("MAIL", False), ("RCPT", False), (".", True)):
            server = ScriptedServer({command: "550-5.7.1 no\r\n550 5.7.1 never"})
            result = self.send(server, code=1)
            self.assertIn("< 550-5.7.1 no\n< 550 5.7.1 never\n", result.stdout)
            self.assertEqual(bool(server.message), sent, command)

    def test_refused_for_one(self) -> None:
        server = ScriptedServer({"RCPT TO:<b@example.org>": "550 5.1.1 unknown"})
        self.send(server, "--from", "", "--to", "b@example.org", "--to", "c@example.org", code=1)
        self.assertTrue(server.message)

    def test_login_over_starttls(self) -> None:
        server = ScriptedServer(context=self.context())
        password = self.write("password", "secret word\n")
        result = self.send(server, "--insecure", "--user", "alice@example.org", "--password-file", str(password))
        self.assertEqual(
            [command.partition(" ")[0] for command in server.commands[:4]], ["EHLO", "STARTTLS", "EHLO", "AUTH"]
        )
        self.assertIn("< 235 2.7.0 welcome", result.stdout)
        self.assertNotIn("secret", result.stdout)
        self.assertNotIn(server.commands[3].split()[-1], result.stdout)

    def test_implicit_tls(self) -> None:
        server = ScriptedServer(context=self.context(), implicit=True)
        self.send(server, "--tls", "implicit", "--insecure")
        self.assertTrue(server.message)

    def test_a_wrong_password(self) -> None:
        server = ScriptedServer({"AUTH": "535 5.7.8 no"}, self.context())
        result = self.send(server, "--insecure", "--user", "a@example.org", "--password", "x", code=1)
        self.assertIn("refused: 535 5.7.8 no", result.stderr)

    def test_a_certificate_that_nobody_trusts(self) -> None:
        server = ScriptedServer(context=self.context())
        result = self.send(server, "--tls", "starttls", code=1)
        self.assertIn("the certificate is not valid", result.stderr)
        self.assertIn("--insecure takes any", result.stderr)

    def test_addresses_beyond_ascii(self) -> None:
        server = ScriptedServer()
        self.send(
            server, "--from", "jürgen@bücher.example", "--to", "b@example.org", message=b"Subject: \xc3\xbc\n\nx\n"
        )
        self.assertEqual(server.commands[1], "MAIL FROM:<jürgen@bücher.example> BODY=8BITMIME SMTPUTF8 SIZE=18")

    def test_nobody_there(self) -> None:
        # Bound and not listening: nobody answers there, and nobody else can take the port meanwhile.
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{holder.getsockname()[1]}"
            result = self.run_command(
                "send", "--server", address, "--from", "", "--to", "b@example.org", "-", input="", code=1
            )
        self.assertIn("refused", result.stderr.lower())

    def test_arguments_that_are_wrong(self) -> None:
        for server, recipient, words in (
            ("127.0.0.1:x", "b@example.org", "no port between 0 and 65535"),
            ("a b", "b@example.org", "neither a host name nor an IP address"),
            ("127.0.0.1", "b", "b: the address has no domain"),
        ):
            result = self.run_command(
                "send", "--server", server, "--from", "", "--to", recipient, "-", input="", code=1
            )
            self.assertIn(words, result.stderr)
