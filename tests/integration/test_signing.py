"""Our signatures, made by a running gateway: other implementations verify them, behind a real Postfix too."""

from __future__ import annotations

import re
import shutil
import smtplib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest

from mailgw.develop.sink import Manners, Received
from mailgw.mail.reply import Reply
from tests import mail_dkim, opendkim, postfix
from tests.integration.gateway import PASSWORD
from tests.integration.mailgw_command import run_mailgw
from tests.integration.peers import PostfixTestCase
from tests.integration.world import in_thread, reactor, send, unverified
from tests.programs import absent

ALICE = b"From: Alice <alice@example.test>\r\n"
UMLAUTS = "Grüße, größer und äußerst höflich\r\n".encode()
PLAIN = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
AWKWARD = {
    "folded": b"From: Alice\r\n\t<alice@example.test>\r\nSubject: a\r\n\tb\r\n c  d\r\n\r\nx\r\n",
    "duplicate": ALICE + b"To: b@x.test\r\nTo: c@x.test\r\nSubject: 1\r\nSubject: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nx\r\n",
    "empty fields": ALICE + b"Subject:\r\nTo: \r\nCc:\t \r\n\r\nx\r\n",
    "trailing space and tabs": ALICE[:-2] + b" \t \r\nSUBJECT:  x \t y  \r\ncc:\tb@x.test\r\n\r\nx \t \r\n\ty\r\n",
    "UTF-8 in fields": "From: Älice <alice@example.test>\r\nSubject: ".encode() + UMLAUTS + b"\r\nx\r\n",
    "Latin-1 in fields": ALICE + b"Subject: gr\xfc\xdfe\r\n\r\nx\r\n",
    "no subject": ALICE + b"\r\nx\r\n",
    "long lines": ALICE + b"Subject: " + b"y" * 900 + b"\r\n\r\n" + b"x" * 998 + b"\r\n",
    "no body": ALICE + b"Subject: x\r\n\r\n",
    "no separator": ALICE + b"Subject: x\r\n",
    "no last CRLF": ALICE + b"Subject: x\r\n\r\nno end",
    "blank lines at the end": ALICE + b"Subject: x\r\n\r\nx\r\n\r\n \r\n\t\r\n\r\n",
    "only blank lines": ALICE + b"Subject: x\r\n\r\n\r\n\r\n",
    "dots": ALICE + b"Subject: x\r\n\r\n.\r\n..\r\n.x\r\n",
    "8-bit text": ALICE + PLAIN + b"Subject: x\r\n\r\n" + UMLAUTS * 20,
    "a list": ALICE + b"List-Id: <l.example.test>\r\nList-Unsubscribe: <https://x.test>\r\nSubject: x\r\n\r\nx\r\n",
    "large, in a file": ALICE + b"Subject: x\r\n\r\n" + b"one  of many \t lines \r\n" * 10_000,
}
# Postfix ends the header there, and with it every signature.
WHITE_LINE = ALICE + b"Subject: a\r\n \r\n b\r\n\r\nx\r\n"
BOTH = {"rsa-sha256": "pass", "ed25519-sha256": "pass"}


class SigningTestCase(PostfixTestCase):
    async def start(self, files: Mapping[str, str] = {}, **settings: Any) -> None:
        """Start the gateway; have it take keys that are made while it runs, and publish them."""
        await self.start_gateway(files, **settings)
        await in_thread(run_mailgw, self.gateway, "dkim", "new-key", "example.test")
        await self.gateway.wait_for(event="signing_keys_changed")
        self.records = await self.shown()
        self.assertEqual(len(self.records), 2)

    async def shown(self) -> dict[str, str]:
        """The records that the postmaster is told to publish."""
        shown = await in_thread(run_mailgw, self.gateway, "dkim", "show-dns", "example.test")
        names, texts = (re.findall(rf"^;   {what} +(.+)$", shown, re.MULTILINE) for what in ("name", "text"))
        return dict(zip(names, texts, strict=True))

    def publish(self) -> None:
        zone = {**self.dns.world.zone, **{name: {"TXT": [text]} for name, text in self.records.items()}}
        self.dns.world = evolve(self.dns.world, zone=zone)

    async def submit(self, messages: Iterable[bytes], recipient: str = "zoe@outside.test") -> None:
        """As alice, over one connection."""

        def work() -> None:
            with smtplib.SMTP("127.0.0.1", self.gateway.ports["submission"], "client.test", timeout=60) as client:
                client.starttls(context=unverified())
                client.login("alice@example.test", PASSWORD)
                for message in messages:
                    client.sendmail("alice@example.test", [recipient], message, ["BODY=8BITMIME"])

        await in_thread(work)

    def keep(self, received: Sequence[Received]) -> list[Path]:
        """As files. opendkim may give up root, and then has to reach them: not below trial's folder."""
        folder = Path(tempfile.mkdtemp(prefix="mailgw-signed-"))
        self.addCleanup(shutil.rmtree, folder)
        paths = [folder / f"{number}.eml" for number in range(len(received))]
        for path, message in zip(paths, received, strict=True):
            path.write_bytes(message.content)
        return paths


class InteropTests(SigningTestCase):
    """opendkim and Mail::DKIM verify each awkward message."""

    skip = absent("opendkim") or mail_dkim.absent() or None

    async def verify(self, messages: Mapping[str, bytes]) -> None:
        self.publish()
        await self.submit(messages.values())
        await self.until(lambda: len(self.sink.received) == len(messages))
        paths = self.keep(self.sink.received)
        for path, result in zip(paths, await in_thread(opendkim.verify, self.records, paths), strict=True):
            self.assertEqual(result, BOTH, path.read_text(errors="replace")[:3000])
        for path, result in zip(paths, await in_thread(mail_dkim.verify, paths, self.dns_port), strict=True):
            self.assertEqual(result["rsa-sha256"], "pass", path.read_text(errors="replace")[:3000])
            # The Mail::DKIM of Debian 12 does not know Ed25519, and says so.
            self.assertRegex(result["ed25519-sha256"], "^pass$|unsupported algorithm")

    async def test_straight_to_the_next_hop(self) -> None:
        await self.make_world()
        await self.start()
        await self.verify({**AWKWARD, "a white line in a field": WHITE_LINE})

    async def test_through_postfix(self) -> None:
        if postfix.absent():
            raise SkipTest(postfix.absent())
        await self.make_world()
        port = await self.start_postfix(relayhost=f"[127.0.0.1]:{self.sink_port}")
        await self.start(relay_port=port)
        await self.verify(AWKWARD)
        self.assertTrue(all(b"by postfix.test (Postfix)" in one.content for one in self.sink.received))


class WhatIsSignedTests(SigningTestCase):
    async def test_a_from_of_somebody_else_goes_unsigned_and_the_log_says_why(self) -> None:
        await self.make_world()
        await self.start(more="[submission]\ncheck_senders = false\n")
        await self.submit([b"From: bob@example.test\r\nSubject: x\r\n\r\nx\r\n"])
        await self.until(lambda: len(self.sink.received) == 1)
        self.assertNotIn(b"DKIM-Signature", self.sink.received[0].content)
        event = await self.gateway.wait_for(event="not_signed")
        self.assertEqual(event["identity"], "alice@example.test")
        self.assertEqual(event["reason"], "bob@example.test in From is no address of this user")

    async def test_what_is_forwarded_has_the_signature_of_its_author_only(self) -> None:
        await self.make_world()
        await self.start({"aliases": "team@example.test: zoe@outside.test\n"})
        message = self.signed("From: ann@sender.test\nSubject: hello\n\nHello.\n")
        await in_thread(send, self.gateway.ports["mx"], "ann@sender.test", ["team@example.test"], message)
        await self.submit([ALICE + b"\r\nx\r\n"], "team@example.test")
        await self.until(lambda: len(self.sink.received) == 2)
        of_others, ours = sorted(self.sink.received, key=lambda one: one.content.count(b"DKIM-Signature:"))
        self.assertNotIn(b"d=example.test", of_others.content)
        self.assertEqual(ours.content.count(b" d=example.test;"), 2)

    async def test_our_reports_are_signed_by_the_domain_above_this_host(self) -> None:
        if absent("opendkim"):
            raise SkipTest(absent("opendkim"))
        await self.make_world(Manners(recipients={"gone@outside.test": Reply(550, "5.1.1", ("no such user",))}))
        await self.start({"aliases": "team@example.test: gone@outside.test\n"})
        message = self.signed("From: ann@sender.test\nSubject: hello\n\nHello.\n")
        await in_thread(send, self.gateway.ports["mx"], "ann@sender.test", ["team@example.test"], message)
        await self.until(lambda: len(self.sink.received) == 1)
        (report,) = self.sink.received
        self.assertIsNone(report.reverse_path)
        self.assertIn(b"From: Mail Delivery System <MAILER-DAEMON@mail.example.test>", report.content)
        self.assertIn(b" d=example.test;", report.content)
        self.assertEqual(opendkim.verify(self.records, self.keep([report])), [BOTH])


class PublishedTests(SigningTestCase):
    async def test_check_and_doctor_ask_dns(self) -> None:
        await self.make_world()
        await self.start()
        text = await in_thread(lambda: run_mailgw(self.gateway, "dkim", "check", "example.test", code=1))
        self.assertEqual(text.count(": missing"), 2, text)
        self.publish()
        text = await in_thread(run_mailgw, self.gateway, "dkim", "check", "example.test")
        self.assertEqual(text.count("): published\n"), 2, text)
        text = await in_thread(lambda: run_mailgw(self.gateway, "doctor", code=2))  # other things are wrong there
        for algorithm in ("rsa", "ed25519"):
            self.assertRegex(text, rf"ok +│ DKIM +│ example.test +│ the key \S+-{algorithm} .* is published")

    async def test_a_rotation_beside_the_running_gateway(self) -> None:
        """Mail of before and after verifies with what is published after it."""
        if absent("opendkim"):
            raise SkipTest(absent("opendkim"))
        await self.make_world()
        await self.start()
        self.publish()
        await self.submit([ALICE + b"\r\nbefore\r\n"])
        await self.until(lambda: len(self.sink.received) == 1)
        await in_thread(run_mailgw, self.gateway, "dkim", "rotate", "example.test")
        text = await in_thread(lambda: run_mailgw(self.gateway, "dkim", "rotate", "example.test", code=1))
        self.assertIn("not published yet, and nothing was changed", text)
        self.records = await self.shown()
        self.assertEqual(len(self.records), 4)
        self.publish()
        await in_thread(run_mailgw, self.gateway, "dkim", "rotate", "example.test")
        selectors: list[list[bytes]] = []
        for number in range(2, 12):  # the gateway looks at the files every two seconds
            await self.submit([ALICE + b"\r\nafter\r\n"])
            await self.until(lambda number=number: len(self.sink.received) == number)  # type: ignore[misc]
            selectors = [re.findall(rb" s=([^;]+);", one.content) for one in self.sink.received]
            if selectors[-1] != selectors[0]:
                break
            await deferLater(reactor, 1)
        self.assertEqual(len({*selectors[0], *selectors[-1]}), 4)
        verified = await in_thread(opendkim.verify, self.records, self.keep(self.sink.received))
        self.assertEqual(verified, [BOTH] * len(selectors))
