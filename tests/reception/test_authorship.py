"""Whether From is the submitter's own, and what follows from that for the signature."""

from __future__ import annotations

from twisted.logger import LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Submission
from mailgw.mail.address import Mailbox
from mailgw.mail.message import Message
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import Destination
from mailgw.reception.authorship import authorship
from mailgw.reception.sender_policy import SenderPolicy
from mailgw.routing.interface import REPORT, Origin, Routed, Target, Unknown
from tests.reception.harness import Server


class Router:
    """alice and bob have folders at example.org, sales@ and team+...@ lead to them; carol's mail goes on."""

    table = {"alice": ("alice",), "bob": ("bob",), "sales": ("bob", "alice"), "alice+x": ("alice",)}

    def is_ours(self, domain: str) -> bool:
        return domain in ("example.org", "routed.example")

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        if mailbox.domain == "routed.example":
            return Routed((Target(mailbox, Destination("relay", "route:x")),), ours=True)
        if mailbox.domain != "example.org":
            return Routed((Target(mailbox, Destination("relay", "mx:x")),), ours=False)
        names = self.table.get(mailbox.local_part.lower())
        if names is None:
            return Unknown("nobody")
        return Routed(tuple(Target(Mailbox(n, "example.org"), Destination("maildir", n)) for n in names), ours=True)


OWN_ONLY = SenderPolicy.of(Submission(), Router())


class AuthorshipTests(SynchronousTestCase):
    def domain(self, value: str, identity: str = "alice@example.org", more: str = "") -> str:
        message = Message.from_bytes(f"From: {value}\r\n{more}\r\nx\r\n".encode())
        return authorship(message, identity, OWN_ONLY).domain

    def test_own_addresses(self) -> None:
        for value in (
            "alice@example.org",
            "Alice <Alice@EXAMPLE.org>",
            '"Smith, Alice" <alice@example.org>',
            '"alice"@example.org',
            "alice @ example.org (at home)",
            "alice+x@example.org",
            "sales@example.org",
            '"bob@example.org" <alice@example.org>',
            "alice@example.org, sales@example.org",
        ):
            self.assertEqual(self.domain(value), "example.org", value)

    def test_addresses_of_others(self) -> None:
        for value in (
            "bob@example.org",
            "alice@example.org, bob@example.org",
            "alice@elsewhere.example",
            "nobody@example.org",
            '"alice@example.org" <bob@example.org>',
            "",
            "alice@example.org <bob@example.org>",
            "alice smith@example.org",
        ):
            self.assertEqual(self.domain(value), "", value)

    def test_two_from_fields(self) -> None:
        self.assertEqual(self.domain("alice@example.org", more="From: alice@example.org\r\n"), "")

    def test_a_user_whose_mail_goes_on(self) -> None:
        self.assertEqual(self.domain("carol@routed.example", "carol@routed.example"), "routed.example")
        self.assertEqual(self.domain("dave@routed.example", "carol@routed.example"), "")

    def test_the_reason_names_the_address(self) -> None:
        message = Message.from_bytes(b"From: bob@example.org\r\n\r\n")
        self.assertIn("bob@example.org", authorship(message, "alice@example.org", OWN_ONLY).reason)


class SubmissionTests(SynchronousTestCase):
    """What the queue is told of a message that a user submits."""

    def setUp(self) -> None:
        self.server = Server(kind="submission", tls="starttls")

    def submit(self, author: str) -> list[LogEvent]:
        peer = self.server.connect()
        peer.say("EHLO c", "STARTTLS")
        peer.transport.finish_handshake()
        peer.say("EHLO c")
        self.assertIn("235", peer.say("AUTH PLAIN AGFsaWNlAHNlY3JldA=="))
        peer.say("MAIL FROM:<alice@ours.example>", "RCPT TO:<a@b.example>", "RCPT TO:<c@d.example>", "DATA")
        with capturedLogs() as events:
            self.assertIn("250 2.0.0", peer.say(f"From: {author}", "", "body", "."))
        return [event for event in events if event.get("event") == "not_signed"]

    def test_from_of_the_users_own(self) -> None:
        self.assertEqual(self.submit("Alice <alice@ours.example>"), [])
        self.assertEqual([entry.message.author_domain for entry in self.server.offered], ["ours.example"])

    def test_from_of_somebody_else_is_said_once_a_transaction(self) -> None:
        self.server = Server(kind="submission", tls="starttls", submission=Submission(check_senders=False))
        self.server.judge.verdicts = {0: Verdict("inbox", 0.0, (), "ok"), 1: Verdict("hold", 7.0, (), "hold")}
        (event,) = self.submit("bob@ours.example")
        self.assertEqual([entry.message.author_domain for entry in self.server.offered], ["", ""])
        self.assertEqual(event["identity"], "alice@ours.example")
        self.assertIn("bob@ours.example in From", event["reason"])

    def test_mail_from_outside(self) -> None:
        self.server = Server()
        self.server.connect().deliver("From: alice@ours.example\r\n\r\nx")
        self.assertEqual([entry.message.author_domain for entry in self.server.offered], [""])
