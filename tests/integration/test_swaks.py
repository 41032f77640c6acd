"""The whole line with swaks as the client on all three ports."""

from __future__ import annotations

import os
import shutil
import signal

from mailgw.develop.sink import Manners
from tests.integration.gateway import PASSWORD
from tests.integration.world import GTUBE, GatewayTestCase, swaks

MESSAGE = """\
From: Carol <carol@sender.test>
To: alice@example.test
Subject: a good message
Date: Mon, 05 Jan 2026 10:00:00 +0000
Message-ID: <good@sender.test>

Hello Alice.
.
A line with a dot above.
"""


class SwaksTests(GatewayTestCase):
    if shutil.which("swaks") is None:
        skip = "swaks is not installed"

    async def setUp(self) -> None:
        await self.make_world()
        await self.start_gateway()

    def client(self, listener: str, *arguments: str) -> tuple[str, ...]:
        server = f"127.0.0.1:{self.gateway.ports[listener]}"
        return ("--server", server, "--helo", "mail.sender.test", *arguments)

    def login(self, password: str = PASSWORD) -> tuple[str, ...]:
        return ("--auth", "PLAIN", "--auth-user", "alice@example.test", "--auth-password", password)

    async def test_a_good_message_reaches_the_inbox_with_its_results(self) -> None:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(self.signed(MESSAGE))
        text, status = await swaks(
            *self.client(
                "mx", "--tls", "--from", "carol@sender.test", "--to", "alice@example.test", "--data", "@" + path
            )
        )
        self.assertEqual(status, 0, text)
        await self.gateway.wait_for(event="delivered")
        (message,) = self.gateway.folder("alice")
        self.assertIn(b"spf=pass", message)
        self.assertIn(b"dkim=pass", message)
        self.assertIn(b"with ESMTPS id", message)
        self.assertIn(b"Return-Path: <carol@sender.test>", message)
        self.assertEqual(message.partition(b"\n\n")[2].rstrip(), b"Hello Alice.\n.\nA line with a dot above.")

    async def test_gtube_reaches_the_spam_folder(self) -> None:
        text, status = await swaks(
            *self.client("mx", "--from", "carol@sender.test", "--to", "alice@example.test", "--body", GTUBE)
        )
        self.assertEqual(status, 0, text)
        await self.gateway.wait_for(event="delivered")
        self.assertEqual(len(self.gateway.folder("alice", ".Spam")), 1)
        self.assertEqual(self.gateway.folder("alice"), [])

    async def test_users_send_outside_on_both_submission_ports(self) -> None:
        for listener, tls in (("submissions", "--tls-on-connect"), ("submission", "--tls")):
            for mechanism in ("PLAIN", "LOGIN"):
                text, status = await swaks(
                    *self.client(listener, tls, *self.login()),
                    *("--auth", mechanism, "--from", "alice@example.test", "--to", "dave@outside.test"),
                )
                self.assertEqual(status, 0, text)
        for _ in range(4):
            await self.gateway.wait_for(event="delivered")
        await self.until(lambda: len(self.sink.received) == 4)
        self.assertEqual({str(m.reverse_path) for m in self.sink.received}, {"alice@example.test"})
        self.assertIn(b"with ESMTPSA id", self.sink.received[0].content)

    async def test_a_wrong_password_is_refused(self) -> None:
        text, status = await swaks(*self.client("submission", "--tls", *self.login("wrong"), "--to", "a@outside.test"))
        self.assertIn("535 5.7.8", text)
        self.assertNotEqual(status, 0)

    async def test_users_write_as_themselves_only(self) -> None:
        to = ("--to", "x@outside.test", "--body", "x")
        for sender, author in (("bob@example.test", "alice@example.test"), ("alice@example.test", "bob@example.test")):
            names = ("--from", sender, "--header", f"From: {author}")
            text, status = await swaks(*self.client("submission", "--tls", *self.login(), *names, *to))
            self.assertNotEqual(status, 0, text)
            self.assertIn("550 5.7.1 <bob@example.test> is not yours: send as <alice@example.test>", text)

    async def test_leave_to_write_as_another_comes_with_a_reload(self) -> None:
        configuration = self.gateway.etc / "mailgw.toml"
        leave = '[submission.send_as."alice@example.test"]\naddresses = ["bob@example.test"]\n'
        configuration.write_text(configuration.read_text() + leave)
        os.kill(self.gateway.pid, signal.SIGHUP)
        await self.gateway.wait_for(event="reloaded")
        names = ("--from", "bob@example.test", "--header", "From: bob@example.test", "--to", "x@outside.test")
        text, status = await swaks(*self.client("submission", "--tls", *self.login(), *names, "--body", "x"))
        self.assertEqual(status, 0, text)

    async def test_submission_wants_tls_and_a_login(self) -> None:
        text, _ = await swaks(*self.client("submission", "--from", "alice@example.test", "--to", "a@outside.test"))
        self.assertIn("530 5.7.0", text)
        text, _ = await swaks(
            *self.client("submission", "--tls", "--from", "alice@example.test", "--to", "a@outside.test")
        )
        self.assertIn("530 5.7.0", text)

    async def test_port_25_relays_nothing(self) -> None:
        text, _ = await swaks(*self.client("mx", "--from", "alice@example.test", "--to", "dave@outside.test"))
        self.assertIn("550 5.7.1", text)

    async def test_a_refusal_of_the_next_hop_becomes_a_report(self) -> None:
        from mailgw.mail.reply import Reply

        self.sink.manners = Manners(recipients={"gone@outside.test": Reply(550, "5.1.1", ("No such user here",))})
        text, status = await swaks(
            *self.client("submission", "--tls", *self.login()),
            *("--from", "alice@example.test", "--to", "gone@outside.test,dave@outside.test"),
        )
        self.assertEqual(status, 0, text)
        await self.until(lambda: len(self.gateway.folder("alice")) == 1)
        (report,) = self.gateway.folder("alice")
        for part in (b"Return-Path: <>", b"multipart/report", b"No such user here", b"gone@outside.test", b"5.1.1"):
            self.assertIn(part, report)
        self.assertEqual(report.count(b"Final-Recipient:"), 1)
        self.assertEqual(len(self.sink.received), 1)
