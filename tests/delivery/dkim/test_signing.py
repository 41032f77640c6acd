"""What is signed when an attempt sends it, and what is not."""

from __future__ import annotations

import os
from typing import Any

import dkim
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import Domain, Listener, Settings, Signing
from mailgw.delivery.dkim.keys import read_keys
from mailgw.delivery.dkim.signing import CurrentKeys, Signer
from mailgw.delivery.relay import RelayAgent
from mailgw.mail.message import FileContent, Message, head_of
from mailgw.operation.threads import ThreadsInline
from mailgw.queue.item import Delayed, Delivered
from tests.delivery.keys import pem, write_key, write_states
from tests.delivery.peers import EHLO, PLAIN_EHLO, deliveries, queued
from tests.delivery.test_relay import RelayTestCase

CONTENT = b"From: ann@example.org\r\nSubject: x\r\n\r\nHello\r\n.dot\r\n"


class SigningRelayTestCase(RelayTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_800_000)
        self.directory = os.path.abspath(self.mktemp())
        write_key(self.directory, "example.org", "r", pem("rsa"))
        write_key(self.directory, "example.org", "e", pem("ed25519"))
        self.settings = Settings(
            hostname="mail.example.org",
            domains={"example.org": Domain()},
            listeners={"submission": Listener(kind="submission")},
            signing=Signing(keys_directory=self.directory),
        )
        super().setUp()

    def make_agent(self, threads: Any = None, **settings: Any) -> RelayAgent:
        agent = super().make_agent(threads, **settings)
        self.keys = CurrentKeys(self.settings, self.clock, ThreadsInline())
        signer = Signer(self.keys, self.settings.signing.expiry, self.clock, threads or ThreadsInline())
        return RelayAgent(agent.sessions, threads or ThreadsInline(), signer)

    def ours(self, content: bytes = CONTENT) -> Any:
        return evolve(queued(content), author_domain="example.org")


class WhatIsSignedTests(SigningRelayTestCase):
    def test_mail_of_our_users(self) -> None:
        peer = self.peer()
        self.assertIsInstance(self.deliver(self.ours())[0], Delivered)
        (content,) = peer.contents
        self.assertEqual(content.count(b"DKIM-Signature:"), 2)
        self.assertTrue(content.endswith(CONTENT.replace(b"\r\n.dot", b"\r\n..dot")))
        size = len(content) - 1  # SIZE is before dot-stuffing (RFC 1870 5)
        self.assertIn(f"SIZE={size}", peer.sessions[0][1])

    def test_mail_of_others_is_not(self) -> None:
        peer = self.peer()
        for message in (queued(CONTENT), evolve(queued(CONTENT), origin="mx")):
            self.deliver(message)
        self.assertNotIn(b"DKIM-Signature", b"".join(peer.contents))

    def test_a_domain_without_keys(self) -> None:
        peer = self.peer()
        self.deliver(evolve(queued(CONTENT), author_domain="example.com"))
        self.assertNotIn(b"DKIM-Signature", peer.contents[0])

    def test_our_reports_are_signed_by_the_host_or_the_domain_above_it(self) -> None:
        peer = self.peer()
        self.deliver(evolve(queued(CONTENT, None), origin="report", author_domain="mail.example.org"))
        self.assertIn(b" d=example.org;", peer.contents[0])

    def test_once_for_all_recipients_and_hosts(self) -> None:
        first, second = self.peer(), self.peer("192.0.2.2", greeting=b"220 x\r\n")
        first.script["MAIL"] = b"451 4.7.1 later\r\n"
        with capturedLogs() as events:
            self.deliver(self.ours(), deliveries("route:two", ["a@x.test", "b@x.test"]))
        self.assertEqual([event["event"] for event in events if event.get("event") == "signed"], ["signed"])
        self.assertEqual(second.contents[0].count(b"DKIM-Signature:"), 2)

    def test_of_text_that_was_made_seven_bit_for_the_next_hop(self) -> None:
        """RFC 6376 5.3: what goes out is signed, not what it was."""
        record = next(key.record for key in read_keys(self.directory) if key.selector == "r").encode()
        first = self.peer(EHLO=EHLO, MAIL=b"451 4.7.1 later\r\n")
        second = self.peer("192.0.2.2", EHLO=PLAIN_EHLO)
        message = self.ours(CONTENT.replace(b"Hello", "Grüße".encode()))
        self.assertIsInstance(self.deliver(message, deliveries("route:two"))[0], Delivered)
        self.assertEqual(len(first.sessions), 1)
        (content,) = second.contents
        content = content.replace(b"\r\n..dot", b"\r\n.dot")
        self.assertIn(b"Gr=C3=BC=C3=9Fe\r\n", content)
        self.assertEqual(content.count(b"DKIM-Signature:"), 2)
        self.assertTrue(dkim.verify(content, dnsfunc=lambda name, timeout=5: record if name.startswith(b"r.") else b""))

    def test_each_attempt_has_its_own_time(self) -> None:
        self.settings = evolve(self.settings, signing=evolve(self.settings.signing, expiry=60.0))
        self.agent = self.make_agent()
        peer = self.peer()
        self.deliver(self.ours())
        self.clock.advance(3600)
        self.deliver(self.ours())
        self.assertIn(b"t=1795800000; x=1795800060;", peer.contents[0])
        self.assertIn(b"t=1795803600; x=1795803660;", peer.contents[1])

    def test_nothing_is_signed_where_nobody_is_reached(self) -> None:
        with capturedLogs() as events:
            self.assertIsInstance(self.deliver(self.ours())[0], Delayed)
        self.assertFalse([event for event in events if event.get("event") == "signed"])

    def test_a_large_content_is_hashed_in_a_thread(self) -> None:
        ran = []

        class Recording(ThreadsInline):
            async def run(self, work: Any, *args: Any, **kwargs: Any) -> Any:
                ran.append(getattr(work, "__name__", ""))
                return work(*args, **kwargs)

        self.agent = self.make_agent(Recording())
        peer = self.peer()
        content = CONTENT + b"x" * 70 + b"\r\n"
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        self.deliver(evolve(self.ours(), message=Message(FileContent(path, len(content)), head_of(content))))
        self.assertIn("sign", ran)
        self.assertEqual(peer.contents[0].count(b"DKIM-Signature:"), 2)

    def test_a_content_that_cannot_be_read_waits(self) -> None:
        self.peer()
        gone = evolve(self.ours(), message=Message(FileContent("/nonexistent", 5), CONTENT))
        (outcome,) = self.deliver(gone)
        self.assertIsInstance(outcome, Delayed)
        self.assertIn("cannot be read", outcome.reason)


class CurrentKeysTests(SigningRelayTestCase):
    def selectors(self) -> list[str]:
        return [key.selector for key in self.keys.ring.for_author("example.org")]

    def test_new_keys_sign_without_a_restart(self) -> None:
        self.keys.start()
        self.addCleanup(self.keys.stop)
        self.assertEqual(self.selectors(), ["r", "e"])
        write_key(self.directory, "example.org", "e2", pem("ed25519", 1))
        write_states(self.directory, "example.org", "e retiring 2026-11-28T09:00:00Z\n")
        self.clock.advance(2)
        self.assertEqual(self.selectors(), ["r", "e2"])

    def test_a_broken_key_changes_nothing_and_is_logged(self) -> None:
        write_key(self.directory, "example.org", "x", b"nonsense")
        with capturedLogs() as events:
            self.successResultOf(Deferred.fromCoroutine(self.keys.refresh()))
        (event,) = [event for event in events if event["log_level"] == LogLevel.error]
        self.assertIn("x.pem", event["problem"])
        self.assertEqual(self.selectors(), ["r", "e"])

    def test_a_broken_key_ends_the_start(self) -> None:
        write_key(self.directory, "example.org", "x", b"nonsense")
        self.assertRaises(ConfigurationErrors, self.make_agent)

    def test_a_domain_without_keys_is_said_once_at_the_start(self) -> None:
        self.settings = evolve(self.settings, signing=Signing(keys_directory=self.directory + "/none"))
        keys = CurrentKeys(self.settings, self.clock, ThreadsInline())
        with capturedLogs() as events:
            keys.start()
            keys.stop()
        (event,) = [event for event in events if event["log_level"] == LogLevel.warn]
        self.assertIn("example.org goes out without a DKIM signature", event["remark"])
