"""Reports to the sender when a delivery failed: delivery status notifications (RFC 3464, RFC 6533)."""

from __future__ import annotations

import quopri
import random
import re
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

from attrs import evolve
from twisted.logger import Logger

from mailgw.config import schema
from mailgw.delivery.causes import cause_of
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.identifiers import new_id
from mailgw.mail.message import Message
from mailgw.queue.item import Delivery, Failed, QueuedMessage
from mailgw.queue.store import Entry
from mailgw.routing.interface import Routed, Router

# What is quoted of the original is its header, up to this size; of what the remote said, so many characters.
MAX_HEADERS = 50_000
MAX_TEXT = 2000
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029]+")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")


class Clock(Protocol):
    def seconds(self) -> float: ...


class ReportWriter:
    """Writes the report and routes it back: a queue.agent.Reporter."""

    log = Logger()

    def __init__(
        self, hostname: str, router: Router, settings: schema.Queue, clock: Clock, random: random.Random
    ) -> None:
        self._hostname = hostname
        self._router = router
        self._settings = settings
        self._clock = clock
        self._random = random

    def report(self, message: QueuedMessage, failures: Sequence[tuple[Delivery, Failed]]) -> Entry | None:
        """Make one report about these recipients.

        None when nobody may be told: the message is a report itself (RFC 5321 6.1), the sender asked for none
        (RFC 3461 4.1), or its address is ours and does not exist.
        """
        told = [(delivery, failure) for delivery, failure in failures if _wanted(delivery.recipient)]
        sender = message.envelope.reverse_path
        if sender is None or not told:
            self._log_nobody(message, "it is a report itself" if sender is None else "the sender wants none")
            return None
        routed = self._router.resolve(sender)
        if not isinstance(routed, Routed):
            self._log_nobody(message, f"its sender {sender} is unknown: {routed.reason}")
            return None
        now = self._clock.seconds()
        report_id = new_id(now, self._random.randbytes(5))
        text = ReportText(report_id, self._hostname, message, told, now)
        queued = QueuedMessage(
            id=report_id,
            envelope=Envelope(
                None,
                (Recipient(sender),),
                body="8BITMIME" if text.international else "7BIT",
                smtputf8=text.international,
            ),
            message=Message.from_bytes(text.encode()),
            received=now,
            origin="report",
            session_id=message.session_id,
        )
        expires = now + self._settings.report_lifetime
        deliveries = []
        for number, target in enumerate(routed.targets):
            destination = target.destination
            if destination.agent == "maildir":
                destination = evolve(destination, folder="inbox")
            deliveries.append(Delivery(report_id, number, Recipient(target.mailbox), destination, now, expires))
        self.log.info(
            "report {report} tells {sender} of {transaction}",
            event="report",
            report=report_id,
            transaction=message.id,
            session=message.session_id,
            sender=str(sender),
        )
        return Entry(queued, tuple(deliveries))

    def _log_nobody(self, message: QueuedMessage, reason: str) -> None:
        self.log.info(
            "nobody is told of {transaction}: {reason}",
            event="no_report",
            transaction=message.id,
            session=message.session_id,
            reason=reason,
        )


class ReportText:
    """The bytes of one report.

    `international` says that its fields hold addresses that are not ASCII, so that it needs SMTPUTF8 itself. Without
    it the report is 7-bit, whatever a remote said.
    """

    def __init__(
        self,
        report_id: str,
        hostname: str,
        message: QueuedMessage,
        failures: Sequence[tuple[Delivery, Failed]],
        now: float,
    ) -> None:
        self._id = report_id
        self._hostname = hostname
        self._message = message
        self._failures = failures
        self._now = now
        assert message.envelope.reverse_path is not None
        self._to = _for_field(message.envelope.reverse_path)
        addresses = [_for_field(delivery.recipient.forward_path) for delivery, _ in failures]
        originals = [delivery.recipient.orcpt for delivery, _ in failures]
        self.international = not all(text.isascii() for text in (self._to, *addresses, *originals))

    def encode(self) -> bytes:
        """Give the whole message, with CRLF."""
        boundary = f"=_{self._id}"  # `=_` stands in no quoted-printable text (RFC 2045 6.7)
        status = "message/global-delivery-status" if self.international else "message/delivery-status"
        headers = "message/global-headers" if self.international else "text/rfc822-headers"
        parts = [
            self._part("text/plain; charset=utf-8", "Notification", self._notification()),
            self._part(status, "Delivery report", self._status()),
            self._part(headers, "Header of the undelivered message", self._headers()),
        ]
        return b"".join(
            (
                self._fields(boundary).encode(),
                b"".join(f"\r\n--{boundary}\r\n".encode() + part for part in parts),
                f"\r\n--{boundary}--\r\n".encode(),
            )
        )

    def _fields(self, boundary: str) -> str:
        original = self._message.message.get("Message-ID")
        found = _MESSAGE_ID.search(original.text) if original else None
        fields = [
            f"From: Mail Delivery System <MAILER-DAEMON@{self._hostname}>",
            f"To: {self._to}",
            "Subject: Undelivered Mail Returned to Sender",
            f"Date: {_date(self._now)}",
            f"Message-ID: <{self._id}@{self._hostname}>",
            *([f"In-Reply-To: {found[0]}", f"References: {found[0]}"] if found else []),
            "Auto-Submitted: auto-replied",  # RFC 3834 5
            "MIME-Version: 1.0",
            f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
        ]
        return "\r\n".join(fields) + "\r\n"

    def _part(self, content_type: str, description: str, content: bytes) -> bytes:
        long_lines = max(map(len, content.split(b"\r\n"))) > 998
        if content.isascii() and not long_lines:
            encoding = "7bit"
        elif self.international and not long_lines:
            encoding = "8bit"
        else:
            encoding = "quoted-printable"
            content = quopri.encodestring(content.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        fields = (
            f"Content-Type: {content_type}\r\nContent-Description: {description}\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
        )
        return fields.encode() + content

    def _notification(self) -> bytes:
        many = len(self._failures) > 1
        lines = [
            f"This is the mail server {self._hostname}.",
            "",
            f"Your message could not be delivered to {'these recipients' if many else 'this recipient'}:",
        ]
        for delivery, failure in self._failures:
            lines += ["", f"  {delivery.recipient.forward_path}", *self._explanation(failure)]
        lines += ["", "Recipients who are not named here are not concerned.", "", "The message:"]
        for name in ("Subject", "Date", "To"):
            if field := self._message.message.get(name):
                lines.append(f"  {name}: {_one_line(field.text)[:200]}")
        lines += [f"  taken here at {_date(self._message.received)}, with the id {self._message.id}", ""]
        lines += ["Its header, and a report for programs, are attached."]
        return "\r\n".join([*lines, ""]).encode()

    def _explanation(self, failure: Failed) -> list[str]:
        cause = cause_of(failure)
        lines = [*_wrapped(cause.what), *_wrapped(cause.action)]
        if failure.reply is not None:
            said = _one_line(str(failure.reply))
            lines += ["", f"    What the remote server {failure.remote} said:", *_wrapped(said, "      ")]
            lines += ["", *_wrapped(f"({_one_line(failure.reason)}; status {failure.status})")]
        else:
            lines += ["", *_wrapped(f"In detail: {_one_line(failure.reason)} (status {failure.status})")]
        return lines

    def _status(self) -> bytes:
        """RFC 3464 2.2 for the message, then 2.3 for each recipient."""
        fields = [f"Reporting-MTA: dns; {self._hostname}"]
        if self._message.envelope.envid:
            fields.insert(0, f"Original-Envelope-Id: {_one_line(self._message.envelope.envid)}")
        fields.append(f"Arrival-Date: {_date(self._message.received)}")
        groups = [fields, *(self._recipient(delivery, failure) for delivery, failure in self._failures)]
        return "\r\n".join("".join(f"{line}\r\n" for line in group) for group in groups).encode()

    def _recipient(self, delivery: Delivery, failure: Failed) -> list[str]:
        fields = []
        recipient = delivery.recipient
        if recipient.orcpt:
            kind, _, address = recipient.orcpt.partition(";")
            fields.append(f"Original-Recipient: {_one_line(kind)}; {_one_line(address)}")
        final = _for_field(recipient.forward_path)
        fields.append(f"Final-Recipient: {'rfc822' if final.isascii() else 'utf-8'}; {final}")
        fields += ["Action: failed", f"Status: {failure.status}"]
        if failure.remote:
            name = failure.remote.partition(" ")[0]
            literal = name if re.search("[A-Za-z]", name) and ":" not in name else f"[{name}]"
            fields.append(f"Remote-MTA: dns; {literal}")
        code = f"smtp; {failure.reply}" if failure.reply is not None else f"x-mailgw; {failure.reason}"
        code = _one_line(code) if self.international else _one_line(code).encode("ascii", "replace").decode()
        fields.append("\r\n ".join(textwrap.wrap(f"Diagnostic-Code: {code}", 200)))
        fields.append(f"Last-Attempt-Date: {_date(self._now)}")
        return fields

    def _headers(self) -> bytes:
        """The original's header as it went on, without the empty line."""
        message = self._message.message
        kept, position = [message.prefix], 0
        for start, end in message.cuts:
            kept.append(message.head[position:start])
            position = end
        head = b"".join((*kept, message.head[position:]))
        if len(head) > MAX_HEADERS:
            head = head[: head.rfind(b"\r\n", 0, MAX_HEADERS) + 2]
        head = head.removesuffix(b"\r\n\r\n") + b"\r\n" if head.endswith(b"\r\n\r\n") else head
        return head.decode("utf-8", "replace").encode() if self.international else head


def _wanted(recipient: Recipient) -> bool:
    """RFC 3461 4.1: without NOTIFY a failure is reported; with it, only when FAILURE is named."""
    return not recipient.notify or "FAILURE" in recipient.notify


def _for_field(mailbox: Mailbox) -> str:
    """Give the address in ASCII where that can be: A-labels mean the same domain (RFC 5890)."""
    if mailbox.local_part.isascii():
        return str(evolve(mailbox, domain=mailbox.ascii_domain))
    return str(mailbox)


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text)[:MAX_TEXT].strip()


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    return textwrap.wrap(text, 76, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))
