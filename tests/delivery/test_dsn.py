"""Reports to the sender, read as a mail client and a program read them: with the email package."""

from __future__ import annotations

import email
import email.policy
import random
from collections.abc import Sequence
from email.message import Message as Parsed
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.dsn import ReportWriter
from mailgw.delivery.report import MAX_HEADERS, MAX_RETURNED
from mailgw.delivery.wording import Wording, load_wording
from mailgw.mail.address import Mailbox
from mailgw.mail.message import FileContent, Message
from mailgw.mail.reply import Reply
from mailgw.mail.verdict import Verdict, VerdictLine
from mailgw.queue.item import Delayed, Delivered, Delivery, Destination, Failed, QueuedMessage
from mailgw.queue.store import Entry
from mailgw.routing.interface import REPORT, Origin, Routed, Target, Unknown
from tests.delivery.peers import deliveries, queued

HEADER = b"Subject: hello\r\nMessage-ID: <m1@example.net>\r\nFrom: bob@example.net\r\nTo: alice@example.org\r\n"
ORIGINAL = HEADER + b"\r\nSecret\r\n"
REFUSED = Failed(
    "5.1.1", "the recipient was refused", "mx.example.org [192.0.2.1]", Reply(550, "5.1.1", ("no such user", "bye"))
)


def verdict(*symbols: str, action: Any = "inbox") -> Verdict:
    return Verdict(action, 0.0, tuple(VerdictLine(symbol, "", "", 0.0, 1.0, 0.0, 0.0) for symbol in symbols), "")


class OurRouter:
    """Everybody at example.net is ours, but `gone`; the rest is outside."""

    def is_ours(self, domain: str) -> bool:
        return domain == "example.net"

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        if mailbox.local_part == "gone":
            return Unknown("no such mailbox")
        if self.is_ours(mailbox.domain):
            return Routed((Target(mailbox, Destination("maildir", str(mailbox))),), True)
        return Routed((Target(mailbox, Destination("relay", f"mx:{mailbox.domain}")),), False)


class ReportTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(86400 * 365)
        self.writer = self.make_writer()

    def make_writer(self, wording: Wording | None = None, **options: Any) -> ReportWriter:
        return ReportWriter(
            "gw.example.net",
            Mailbox("postmaster", "example.net"),
            OurRouter(),
            wording or load_wording("en"),
            1000.0,
            self.clock,
            random.Random(1),
            **options,
        )

    def report(self, message: QueuedMessage | None = None, *failures: tuple[Delivery, Any]) -> Entry | None:
        """The one report that is made, or None."""
        reports = self.reports(message, *failures)
        self.assertLessEqual(len(reports), 1)
        return reports[0] if reports else None

    def reports(self, message: QueuedMessage | None = None, *results: tuple[Delivery, Any]) -> Sequence[Entry]:
        return self.writer.report(message or queued(ORIGINAL), results or ((deliveries("mx:example.org")[0], REFUSED),))

    def parsed(self, message: QueuedMessage | None = None, *failures: tuple[Delivery, Any]) -> Parsed:
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


class ReportTests(ReportTestCase):
    def test_envelope(self) -> None:
        entry = self.report()
        assert entry is not None
        self.assertIsNone(entry.message.envelope.reverse_path)
        self.assertEqual(entry.message.origin, "report")
        self.assertEqual(entry.message.author_domain, "gw.example.net")  # its From: what it is signed for
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

    def test_international_recipient_of_an_ascii_sender_without_smtputf8(self) -> None:
        """Behind an alias: RFC 6533 3, the 7-bit form, which every server takes."""
        (delivery,) = deliveries("mx:x", ["jörg@example.org"], orcpt="utf-8;ö@example.net")
        entry = self.report(None, (delivery, REFUSED))
        assert entry is not None
        self.assertEqual((entry.message.envelope.smtputf8, entry.message.envelope.body), (False, "7BIT"))
        _, per_recipient = self.status(self.parsed(None, (delivery, REFUSED)))
        self.assertEqual(per_recipient["Final-Recipient"], r"utf-8; j\x{F6}rg@example.org")
        self.assertEqual(per_recipient["Original-Recipient"], r"utf-8; \x{F6}@example.net")


class SuccessTests(ReportTestCase):
    """RFC 3461 5.2: what a sender hears who asked for NOTIFY=SUCCESS."""

    def asked(self, address: str = "alice@example.org", **recipient: Any) -> Delivery:
        return deliveries("mx:x", [address], notify=frozenset({"SUCCESS"}), **recipient)[0]

    def test_delivered(self) -> None:
        result = Delivered("in folder /var/mail/mailgw/example.org/alice", action="delivered")
        parsed = self.parsed(queued(ORIGINAL, envid="QQ1"), (self.asked(orcpt="rfc822;a@x"), result))
        per_message, per_recipient = self.status(parsed)
        self.assertEqual(parsed["Subject"], "Successful Mail Delivery Report")
        self.assertEqual(per_message["Original-Envelope-Id"], "QQ1")
        self.assertEqual(
            dict(per_recipient.items()),
            {
                "Original-Recipient": "rfc822; a@x",
                "Final-Recipient": "rfc822; alice@example.org",
                "Action": "delivered",
                "Status": "2.0.0",
                "Last-Attempt-Date": "Fri, 01 Jan 1971 00:00:00 +0000",
            },
        )
        self.assertIn("does not say that it was read", " ".join(self.text(parsed).split()))
        self.assertNotIn("/var/mail", str(parsed))

    def test_relayed(self) -> None:
        result = Delivered("250 2.0.0 queued as 1 (clear text)", "mx.example.org [192.0.2.1]", "relayed")
        parsed = self.parsed(None, (self.asked(), result))
        _, per_recipient = self.status(parsed)
        self.assertEqual((per_recipient["Action"], per_recipient["Status"]), ("relayed", "2.0.0"))
        self.assertEqual(per_recipient["Remote-MTA"], "dns; mx.example.org")
        self.assertIn("mx.example.org [192.0.2.1]. It makes no reports", " ".join(self.text(parsed).split()))

    def test_expanded(self) -> None:
        parsed = self.parsed(None, (self.asked(), Delivered("", action="expanded")))
        self.assertEqual(self.status(parsed)[1]["Action"], "expanded")
        self.assertIn("several recipients", self.text(parsed))

    def test_only_who_asked_and_only_what_nobody_else_reports(self) -> None:
        there = Delivered("there", action="delivered")
        for delivery, result in (
            (self.asked(), Delivered("the next hop reports it")),
            (deliveries("mx:x")[0], there),
            (deliveries("mx:x", notify=frozenset({"FAILURE", "DELAY"}))[0], there),
            (deliveries("mx:x", notify=frozenset({"NEVER"}))[0], there),
        ):
            self.assertIsNone(self.report(None, (delivery, result)))

    def test_a_failure_is_told_apart(self) -> None:
        both = deliveries("mx:x", notify=frozenset({"SUCCESS", "FAILURE"}))[0]
        reports = self.reports(None, (both, REFUSED), (self.asked(), Delivered("there", action="delivered")))
        subjects = [b"Subject: Undelivered", b"Subject: Successful"]
        for entry, subject in zip(reports, subjects, strict=True):
            self.assertIn(subject, b"".join(entry.message.message.output()))

    def test_never_about_a_report(self) -> None:
        self.assertEqual(self.reports(queued(reverse_path=None), (self.asked(), Delivered("", action="delivered"))), ())

    def test_spam_is_not_confirmed(self) -> None:
        message = evolve(queued(ORIGINAL), origin="mx", verdict=verdict("SPF_PASS", action="spam"))
        self.assertEqual(self.reports(message, (self.asked(), Delivered("", action="delivered"))), ())


class ReturnTests(ReportTestCase):
    """RET (RFC 3461 4.3)."""

    def original(self, message: QueuedMessage, result: Any = REFUSED) -> Any:
        (delivery,) = deliveries("mx:x", notify=frozenset({"SUCCESS", "FAILURE"}))
        return self.parsed(message, (delivery, result)).get_payload(2)

    def test_full(self) -> None:
        part = self.original(queued(ORIGINAL, ret="FULL"))
        self.assertEqual(part.get_content_type(), "message/rfc822")
        self.assertEqual(part.get_payload(0).as_bytes().replace(b"\n", b"\r\n"), ORIGINAL)

    def test_full_of_eight_bit_text(self) -> None:
        part = self.original(queued(HEADER + "\r\ngrüße\r\n".encode(), ret="FULL"))
        self.assertEqual(part["Content-Transfer-Encoding"], "8bit")
        self.assertIn("grüße".encode(), part.get_payload(0).as_bytes())

    def test_only_the_header_otherwise(self) -> None:
        large = HEADER + b"\r\n" + b"x\r\n" * (MAX_RETURNED // 3)
        long_line = HEADER + b"\r\n" + b"x" * 1000 + b"\r\n"
        in_a_file = evolve(queued(ret="FULL"), message=Message(FileContent("/nowhere", 5000), HEADER + b"\r\n"))
        utf8_header = "Subject: ü\r\n\r\nx\r\n".encode()
        for message, result in (
            (queued(ORIGINAL, ret="HDRS"), REFUSED),
            (queued(ORIGINAL), REFUSED),
            (queued(ORIGINAL, ret="FULL"), Delivered("", action="delivered")),
            (queued(ORIGINAL, ret="FULL", requiretls=True), REFUSED),
            (queued(large, ret="FULL"), REFUSED),
            (queued(long_line, ret="FULL"), REFUSED),
            (queued(utf8_header, ret="FULL"), REFUSED),
            (in_a_file, REFUSED),
        ):
            self.assertEqual(self.original(message, result).get_content_type(), "text/rfc822-headers")


class RequireTlsTests(ReportTestCase):
    """RFC 8689 5: a report is protected as its message was, or tells nothing of it."""

    def test_in_our_own_folders(self) -> None:
        entry = self.report(queued(ORIGINAL, requiretls=True))
        assert entry is not None
        self.assertTrue(entry.message.envelope.requiretls)
        self.assertIn(b"Subject: hello", b"".join(entry.message.message.output()))

    def test_to_a_sender_outside(self) -> None:
        entry = self.report(queued(ORIGINAL, "carol@example.com", requiretls=True, ret="FULL"))
        assert entry is not None
        self.assertFalse(entry.message.envelope.requiretls)
        data = b"".join(entry.message.message.output())
        self.assertNotIn(b"hello", data)
        self.assertNotIn(b"Secret", data)
        self.assertIn(b"In-Reply-To: <m1@example.net>", data)
        self.assertIn(b"Final-Recipient: rfc822; alice@example.org", data)


class DelayTests(ReportTestCase):
    """RFC 3461 4.1 and RFC 3464 2.3.3: a message that still waits."""

    LATE = Delayed("4.4.1", "the connection was refused", "mx.example.org [192.0.2.1]")

    def waiting(self, **recipient: Any) -> Delivery:
        (delivery,) = deliveries("mx:example.org", **recipient)
        return evolve(delivery, due=self.clock.seconds() + 3600, expires=self.clock.seconds() + 86400)

    def test_what_it_says(self) -> None:
        message = evolve(queued(ORIGINAL), received=self.clock.seconds() - 4 * 3600)
        parsed = self.parsed(message, (self.waiting(), self.LATE))
        self.assertEqual(parsed["Subject"], "Delayed Mail (still being retried)")
        text = self.text(parsed)
        self.assertTrue(text.startswith("You need not send your message again"), text)
        self.assertIn("took your message 4 hours ago", text)
        self.assertIn("could not be reached", text)
        self.assertIn("Next try: Fri, 01 Jan 1971 01:00:00 +0000", text)
        self.assertIn("Tried until: Sat, 02 Jan 1971 00:00:00 +0000", text)
        _, per_recipient = self.status(parsed)
        self.assertEqual((per_recipient["Action"], per_recipient["Status"]), ("delayed", "4.4.1"))
        self.assertEqual(per_recipient["Will-Retry-Until"], "Sat, 02 Jan 1971 00:00:00 +0000")
        self.assertEqual(parsed.get_payload(2).get_content_type(), "text/rfc822-headers")

    def test_only_who_wants_it(self) -> None:
        wanted = frozenset({"DELAY"})
        self.assertIsNotNone(self.report(None, (self.waiting(notify=wanted), self.LATE)))
        for notify in ({"FAILURE"}, {"NEVER"}, {"SUCCESS", "FAILURE"}):
            self.assertIsNone(self.report(None, (self.waiting(notify=frozenset(notify)), self.LATE)))

    def test_the_postmaster_need_not_know(self) -> None:
        message = evolve(queued(ORIGINAL), origin="mx", verdict=verdict("SPF_NONE"))
        self.assertIsNone(self.report(message, (self.waiting(), self.LATE)))


class BackscatterTests(ReportTestCase):
    """A report to a forged address goes to somebody who has nothing to do with the message."""

    def told(self, message: QueuedMessage) -> list[str]:
        failed = (deliveries("mx:example.org")[0], REFUSED)
        return [str(entry.message.envelope.recipients[0].forward_path) for entry in self.reports(message, failed)]

    def received(self, *symbols: str, action: Any = "inbox", sender: str = "carol@example.com") -> QueuedMessage:
        content = ORIGINAL.replace(b"From: bob@example.net", b"From: Carol <carol@Example.com>")
        return evolve(queued(content, sender), origin="mx", verdict=verdict(*symbols, action=action))

    def test_who_is_verified(self) -> None:
        for message in (
            queued(ORIGINAL, "carol@example.com"),
            evolve(self.received("SPF_NONE"), origin="lmtp"),
            evolve(self.received(), identity="carol", verdict=None),
            self.received("SPF_PASS"),
            self.received("SPF_NONE", "DMARC_PASS"),
        ):
            self.assertEqual(self.told(message), ["carol@example.com"])

    def test_who_is_not(self) -> None:
        for message in (
            self.received("SPF_NONE"),
            self.received("SPF_SOFTFAIL", "DKIM_VALID"),
            self.received("DMARC_PASS", sender="victim@elsewhere.example"),
            self.received("DMARC_PASS", sender="victim@notexample.com"),
            evolve(self.received(), verdict=None),
            self.received("SPF_FAIL", sender="bob@example.net"),
        ):
            self.assertEqual(self.told(message), ["postmaster@example.net"])

    def test_the_postmaster_learns_why(self) -> None:
        (entry,) = self.reports(self.received("SPF_NONE"), (deliveries("mx:example.org")[0], REFUSED))
        text = b"".join(entry.message.message.output())
        self.assertIn(b"carol@example.com, is not\r\ntold, since nothing proves that the address is not forged", text)

    def test_spam_and_what_nobody_wants_to_know(self) -> None:
        self.assertEqual(self.told(self.received("SPF_PASS", action="spam")), [])
        self.writer = self.make_writer(tell_postmaster=False)
        self.assertEqual(self.told(self.received("SPF_NONE")), [])


class WordingTests(ReportTestCase):
    def test_another_language(self) -> None:
        self.writer = self.make_writer(load_wording("de"))
        parsed = self.parsed()
        self.assertEqual(parsed["Subject"], "Unzustellbare Nachricht: zurück an den Absender")
        self.assertIn("Das Postfach gibt es nicht.", self.text(parsed))

    def test_words_of_the_site(self) -> None:
        path = Path(self.mktemp())
        path.write_text('[failure]\nsubject = "Sorry"\n[causes.unknown_user]\naction = "Ask 1234."\n')
        self.writer = self.make_writer(load_wording("en", str(path)))
        parsed = self.parsed()
        self.assertEqual(parsed["Subject"], "Sorry")
        self.assertIn("There is no such mailbox.\n    Ask 1234.\n", self.text(parsed))

    def test_why_it_was_late_in_the_end(self) -> None:
        over = Failed("4.4.7", "given up", "mx", Reply(452, "4.2.2", ("mailbox full",)))
        text = " ".join(self.text(self.parsed(None, (deliveries("mx:x")[0], over))).split())
        self.assertIn("could not be delivered in the time that we try it", text)
        self.assertIn("The last try: The recipient's mailbox is full.", text)
