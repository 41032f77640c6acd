"""Reports to the sender, read as a mail client and a program read them: with the email package."""

from __future__ import annotations

import email
import email.policy
import random
from email.message import Message as Parsed
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config import schema
from mailgw.delivery.causes import cause_of
from mailgw.delivery.dsn import MAX_HEADERS, ReportWriter
from mailgw.mail.address import Mailbox
from mailgw.mail.reply import Reply
from mailgw.queue.item import Delivery, Destination, Failed, QueuedMessage
from mailgw.queue.store import Entry
from mailgw.routing.interface import Routed, Target, Unknown
from tests.delivery.peers import deliveries, queued

HEADER = b"Subject: hello\r\nMessage-ID: <m1@example.net>\r\nFrom: bob@example.net\r\nTo: alice@example.org\r\n"
ORIGINAL = HEADER + b"\r\nSecret\r\n"
REFUSED = Failed(
    "5.1.1", "the recipient was refused", "mx.example.org [192.0.2.1]", Reply(550, "5.1.1", ("no such user", "bye"))
)


class OurRouter:
    """Everybody at example.net is ours, but `gone`; the rest is outside."""

    def is_ours(self, domain: str) -> bool:
        return domain == "example.net"

    def resolve(self, mailbox: Mailbox) -> Routed | Unknown:
        if mailbox.local_part == "gone":
            return Unknown("no such mailbox")
        if self.is_ours(mailbox.domain):
            return Routed((Target(mailbox, Destination("maildir", str(mailbox))),), True)
        return Routed((Target(mailbox, Destination("relay", f"mx:{mailbox.domain}")),), False)


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(86400 * 365)
        settings = schema.Queue(report_lifetime=1000.0)
        self.writer = ReportWriter("gw.example.net", OurRouter(), settings, self.clock, random.Random(1))

    def report(self, message: QueuedMessage | None = None, *failures: tuple[Delivery, Failed]) -> Entry | None:
        failures = failures or ((deliveries("mx:example.org")[0], REFUSED),)
        return self.writer.report(message or queued(ORIGINAL), failures)

    def parsed(self, message: QueuedMessage | None = None, *failures: tuple[Delivery, Failed]) -> Parsed:
        entry = self.report(message, *failures)
        assert entry is not None
        data = b"".join(entry.message.message.output())
        self.assertEqual(data.count(b"\n"), data.count(b"\r\n"))
        self.assertLess(max(map(len, data.split(b"\r\n"))), 999)
        self.assertEqual(entry.message.envelope.body == "7BIT", data.isascii())
        return email.message_from_bytes(data, policy=email.policy.default)

    def text(self, parsed: Any) -> str:
        return str(parsed.get_payload(0).get_content()).replace("\r\n", "\n")

    def status(self, parsed: Any) -> list[Any]:
        return list(parsed.get_payload(1).get_payload())

    def test_envelope(self) -> None:
        entry = self.report()
        assert entry is not None
        self.assertIsNone(entry.message.envelope.reverse_path)
        self.assertEqual(entry.message.origin, "report")
        (delivery,) = entry.deliveries
        self.assertEqual(str(delivery.destination), "maildir:bob@example.net/inbox")
        self.assertEqual((delivery.message_id, delivery.number), (entry.message.id, 0))
        self.assertEqual(delivery.due, self.clock.seconds())
        self.assertEqual(delivery.expires, self.clock.seconds() + 1000.0)

    def test_sender_outside(self) -> None:
        entry = self.report(queued(ORIGINAL, "carol@example.com"))
        assert entry is not None
        self.assertEqual(str(entry.deliveries[0].destination), "relay:mx:example.com")

    def test_fields(self) -> None:
        parsed = self.parsed()
        self.assertEqual(parsed["To"], "bob@example.net")
        self.assertEqual(parsed["From"], "Mail Delivery System <MAILER-DAEMON@gw.example.net>")
        self.assertEqual(parsed["Auto-Submitted"], "auto-replied")
        self.assertEqual((parsed["In-Reply-To"], parsed["References"]), ("<m1@example.net>",) * 2)
        self.assertEqual(parsed.get_content_type(), "multipart/report")
        self.assertEqual(parsed.get_param("report-type"), "delivery-status")
        self.assertEqual(parsed["Date"], "Fri, 01 Jan 1971 00:00:00 +0000")
        self.assertEqual(parsed.defects, [])

    def test_words(self) -> None:
        text = self.text(self.parsed())
        self.assertIn("could not be delivered to this recipient:\n\n  alice@example.org\n", text)
        self.assertIn("There is no such mailbox.", text)
        self.assertIn("the remote server mx.example.org [192.0.2.1] said:\n      550 5.1.1 no such user bye\n", text)
        self.assertIn("Subject: hello", text)

    def test_status_fields(self) -> None:
        per_message, per_recipient = self.status(self.parsed())
        self.assertEqual(per_message["Reporting-MTA"], "dns; gw.example.net")
        self.assertEqual(per_message["Arrival-Date"], "Thu, 01 Jan 1970 00:16:40 +0000")
        self.assertEqual(
            dict(per_recipient.items()),
            {
                "Final-Recipient": "rfc822; alice@example.org",
                "Action": "failed",
                "Status": "5.1.1",
                "Remote-MTA": "dns; mx.example.org",
                "Diagnostic-Code": "smtp; 550 5.1.1 no such user bye",
                "Last-Attempt-Date": "Fri, 01 Jan 1971 00:00:00 +0000",
            },
        )

    def test_original_recipient_and_envelope_id(self) -> None:
        (delivery,) = deliveries("mx:example.org", orcpt="rfc822;list@example.org")
        per_message, per_recipient = self.status(self.parsed(queued(ORIGINAL, envid="id 1"), (delivery, REFUSED)))
        self.assertEqual(per_recipient["Original-Recipient"], "rfc822; list@example.org")
        self.assertEqual(per_message["Original-Envelope-Id"], "id 1")

    def test_failure_without_a_remote(self) -> None:
        failure = Failed("5.1.2", "the domain example.org does not exist")
        parsed = self.parsed(None, (deliveries("mx:example.org")[0], failure))
        _, per_recipient = self.status(parsed)
        self.assertNotIn("Remote-MTA", per_recipient)
        self.assertEqual(per_recipient["Diagnostic-Code"], "x-mailgw; the domain example.org does not exist")
        self.assertIn("does not exist", self.text(parsed))

    def test_remote_that_is_an_address(self) -> None:
        for remote, field in (("192.0.2.1", "dns; [192.0.2.1]"), ("2001:db8::1", "dns; [2001:db8::1]")):
            parsed = self.parsed(None, (deliveries("mx:x")[0], evolve(REFUSED, remote=remote)))
            self.assertEqual(self.status(parsed)[1]["Remote-MTA"], field)

    def test_several_recipients(self) -> None:
        one, two = deliveries("mx:example.org", ["a@example.org", "b@example.org"])
        full = Failed("5.2.2", "the recipient was refused", "mx", Reply(552, "5.2.2", ("full",)))
        parsed = self.parsed(None, (one, REFUSED), (two, full))
        self.assertEqual([part["Status"] for part in self.status(parsed)[1:]], ["5.1.1", "5.2.2"])
        self.assertIn("mailbox is full", self.text(parsed))

    def test_only_the_header_goes_back(self) -> None:
        part: Any = self.parsed().get_payload(2)
        self.assertEqual(part.get_content_type(), "text/rfc822-headers")
        self.assertEqual(part.get_content().encode(), HEADER)

    def test_large_header_is_cut_at_a_line(self) -> None:
        message = queued(b"X-Long: yes\r\n" * 10_000 + b"\r\nbody\r\n")
        part: Any = self.parsed(message).get_payload(2)
        lines = part.get_content().splitlines()
        self.assertEqual(set(lines), {"X-Long: yes"})
        self.assertLessEqual(len(lines) * 13, MAX_HEADERS)

    def test_prefix_and_cuts_are_as_passed_on(self) -> None:
        message = queued(b"A: 1\r\nB: 2\r\nC: 3\r\n\r\nbody\r\n")
        cut = evolve(message, message=evolve(message.message, prefix=b"Received: here\r\n", cuts=((6, 12),)))
        part: Any = self.parsed(cut).get_payload(2)
        self.assertEqual(part.get_content(), "Received: here\r\nA: 1\r\nC: 3\r\n")

    def test_nobody_is_told_of_a_report(self) -> None:
        self.assertIsNone(self.report(queued(ORIGINAL, None)))

    def test_unknown_sender_of_ours(self) -> None:
        self.assertIsNone(self.report(queued(ORIGINAL, "gone@example.net")))

    def test_notify(self) -> None:
        for notify, told in ((set(), True), ({"NEVER"}, False), ({"SUCCESS", "DELAY"}, False), ({"FAILURE"}, True)):
            (delivery,) = deliveries("mx:example.org", notify=frozenset(notify))
            self.assertEqual(self.report(None, (delivery, REFUSED)) is not None, told, notify)

    def test_only_who_wants_it_is_named(self) -> None:
        (silent,) = deliveries("mx:example.org", ["silent@example.org"], notify=frozenset({"NEVER"}))
        parsed = self.parsed(None, (silent, REFUSED), (deliveries("mx:x")[0], REFUSED))
        self.assertEqual(len(self.status(parsed)), 2)
        self.assertNotIn("silent@", str(parsed))

    def test_hostile_reply_stays_in_its_field(self) -> None:
        hostile = Reply(550, "5.0.0", ("x\r\n\r\nAction: delivered\r\n\x00\x1b[2J", "\u2028é" * 3000))
        parsed = self.parsed(None, (deliveries("mx:example.org")[0], evolve(REFUSED, reply=hostile)))
        groups = self.status(parsed)
        self.assertEqual(len(groups), 2)
        self.assertEqual(groups[1].get_all("Action"), ["failed"])
        self.assertTrue(str(groups[1]["Diagnostic-Code"]).isascii())

    def test_hostile_original_stays_in_its_part(self) -> None:
        original = b"Subject: \xff\xfe\r\nMessage-ID: <a\x00b@c>\r\n--=_x--\r\nX: " + b"y" * 3000 + b"\r\n\r\nbody"
        parsed: Any = self.parsed(queued(original))
        self.assertEqual(len(parsed.get_payload()), 3)
        self.assertIsNone(parsed["References"])
        self.assertIn(b"Subject: \xff\xfe", parsed.get_payload(2).get_payload(decode=True))

    def test_international_addresses(self) -> None:
        """RFC 6533: message/global-delivery-status, and the types of its addresses."""
        message = queued("Subject: grüße\r\n\r\nx\r\n".encode(), "büro@example.net", smtputf8=True)
        (delivery,) = deliveries("mx:example.org", ["jürgen@bücher.example"])
        entry = self.report(message, (delivery, REFUSED))
        assert entry is not None
        self.assertTrue(entry.message.envelope.smtputf8)
        data = b"".join(entry.message.message.output()).decode()
        self.assertIn("To: büro@example.net\r\n", data)
        self.assertIn("Content-Type: message/global-delivery-status\r\n", data)
        self.assertIn("Content-Type: message/global-headers\r\n", data)
        self.assertIn("Final-Recipient: utf-8; jürgen@bücher.example\r\n", data)
        self.assertIn("Subject: grüße\r\n", data)

    def test_international_domain_alone_needs_nothing(self) -> None:
        (delivery,) = deliveries("mx:x", ["info@bücher.example"])
        parsed = self.parsed(None, (delivery, REFUSED))
        self.assertEqual(self.status(parsed)[1]["Final-Recipient"], "rfc822; info@xn--bcher-kva.example")


class CauseTests(SynchronousTestCase):
    def test_by_status(self) -> None:
        for status, word in (
            ("5.1.1", "no such mailbox"),
            ("5.1.10", "takes no mail"),
            ("5.1.2", "domain"),
            ("4.2.2", "full"),
            ("5.3.4", "larger"),
            ("5.7.1", "refuses"),
            ("5.7.26", "verify"),
            ("4.7.4", "secure"),
            ("4.4.7", "in the time"),
            ("4.4.1", "reached"),
            ("5.0.0", "refuses"),
        ):
            self.assertIn(word, cause_of(Failed(status, "")).what, status)

    def test_by_text_when_the_status_says_nothing(self) -> None:
        for text, word in (
            ("User unknown in virtual alias table", "no such mailbox"),
            ("sorry, no such user here", "no such mailbox"),
            ("The user you are trying to contact is over quota", "full"),
            ("message size exceeds fixed limit", "larger"),
            ("rejected as SPAM", "refuses the message: its content"),
            ("Must issue a STARTTLS command first", "secure"),
            ("because I say so", "refuses the message."),
        ):
            self.assertIn(word, cause_of(Failed("5.0.0", "", "", Reply(550, "", (text,)))).what, text)
