"""PLAIN and LOGIN, the server's side."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import Reply
from mailgw.smtp import sasl
from mailgw.smtp.sasl import Challenge, Credentials


class PlainTests(SynchronousTestCase):
    def test_initial_response(self) -> None:
        step = sasl.exchange("PLAIN").step("\0jörg\0geheim".encode())
        self.assertEqual(step, Credentials("jörg", "geheim"))

    def test_without_initial_response(self) -> None:
        exchange = sasl.exchange("PLAIN")
        step = exchange.step(None)
        assert isinstance(step, Challenge)
        self.assertEqual(step.reply.text, "")
        self.assertEqual(exchange.step(b"\0user\0password"), Credentials("user", "password"))

    def test_authorization_identity(self) -> None:
        self.assertEqual(sasl.Plain().step(b"user\0user\0password"), Credentials("user", "password"))
        refused = sasl.Plain().step(b"other\0user\0password")
        assert isinstance(refused, Reply)
        self.assertEqual(refused.code, 535)

    def test_malformed(self) -> None:
        for response in (
            b"",
            b"user",
            b"user\0password",
            b"\0user\0",
            b"\0\0password",
            b"\0a\0b\0c",
            b"\0\xff\0b",
            b"\0" + b"a" * 256 + b"\0b",
        ):
            step = sasl.Plain().step(response)
            assert isinstance(step, Reply)
            self.assertEqual((step.code, step.status), (501, "5.5.2"))


class LoginTests(SynchronousTestCase):
    def test_two_questions(self) -> None:
        exchange = sasl.exchange("LOGIN")
        for response, question in ((None, "VXNlcm5hbWU6"), (b"user", "UGFzc3dvcmQ6")):
            step = exchange.step(response)
            assert isinstance(step, Challenge)
            self.assertEqual((step.reply.code, step.reply.text), (334, question))
        self.assertEqual(exchange.step(b"password"), Credentials("user", "password"))

    def test_user_as_initial_response(self) -> None:
        exchange = sasl.exchange("LOGIN")
        self.assertEqual(exchange.step(b"user"), Challenge(b"Password:"))
        self.assertEqual(exchange.step(b"password"), Credentials("user", "password"))

    def test_malformed(self) -> None:
        for responses in ((b"",), (b"\xff",), (b"a\0b",), (b"user", b""), (b"user", b"a" * 256)):
            exchange = sasl.Login()
            step: sasl.Step = Challenge(b"")
            for response in responses:
                step = exchange.step(response)
            self.assertIsInstance(step, Reply)


class SecrecyTests(SynchronousTestCase):
    def test_the_password_is_not_shown(self) -> None:
        self.assertNotIn("secret", repr(Credentials("user", "secret")))

    def test_unknown_mechanism(self) -> None:
        self.assertRaises(KeyError, sasl.exchange, "CRAM-MD5")
