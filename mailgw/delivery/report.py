"""The text of a report: a delivery status notification (RFC 3464, RFC 6533) for people and programs."""

from __future__ import annotations

import quopri
import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime

from attrs import evolve

from mailgw.delivery.causes import cause_of, last_cause_of
from mailgw.delivery.wording import Kind, Wording
from mailgw.mail.address import Mailbox
from mailgw.mail.message import BytesContent
from mailgw.queue.item import Delayed, Delivered, Delivery, Failed, QueuedMessage
from mailgw.smtp.dsn import utf8_address_encode

# What is quoted of the original is its header, up to this size; of what the remote said, so many characters.
MAX_HEADERS = 50_000
MAX_TEXT = 2000
# With RET=FULL the whole original goes back, up to this size (RFC 3461 4.3 leaves it to us): reports shall not fill
# the sender's mailbox, nor our memory.
MAX_RETURNED = 128 * 1024
MAX_LINE = 998  # RFC 5322 2.1.1
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029]+")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
_RELATED = ("Subject", "Date", "To")


Result = Delivered | Delayed | Failed
_KINDS: Mapping[type[Result], Kind] = {Failed: "failure", Delayed: "delay", Delivered: "success"}


class ReportText:
    """The bytes of one report about `results`, which are all of one kind, to `reader`: the sender, or the postmaster
    in its place.

    `international` says that its fields hold addresses that are not ASCII, so that it needs SMTPUTF8 itself. Without
    it the report is 7-bit, whatever a remote said, unless the whole original goes back and is not. `redacted` leaves
    out what tells of the original's content.
    """

    def __init__(
        self,
        report_id: str,
        hostname: str,
        message: QueuedMessage,
        results: Sequence[tuple[Delivery, Result]],
        now: float,
        wording: Wording,
        *,
        reader: Mailbox,
        redacted: bool = False,
    ) -> None:
        self._id = report_id
        self._hostname = hostname
        self._message = message
        self._results = results
        self._now = now
        self._redacted = redacted
        self._wording = wording
        self._kind: Kind = _KINDS[type(results[0][1])]
        self._to = _for_field(reader)
        self._untold = "" if reader == message.envelope.reverse_path else str(message.envelope.reverse_path)
        # RFC 6533 4: only who has shown to know internationalised mail gets it.
        addresses = [self._to, *(_for_field(delivery.recipient.forward_path) for delivery, _ in results)]
        originals = [delivery.recipient.orcpt for delivery, _ in results]
        self.international = not self._to.isascii() or (
            message.envelope.smtputf8 and not "".join((*addresses, *originals)).isascii()
        )

    def encode(self) -> bytes:
        """Give the whole message, with CRLF."""
        boundary = f"=_{self._id}"  # `=_` stands in no quoted-printable text (RFC 2045 6.7)
        status = "message/global-delivery-status" if self.international else "message/delivery-status"
        parts = [
            self._part("text/plain; charset=utf-8", "Notification", self._notification()),
            self._part(status, "Delivery report", self._status()),
            self._original(),
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
            f"Subject: {_encoded(self._wording.subject(self._kind))}",
            f"Date: {_date(self._now)}",
            f"Message-ID: <{self._id}@{self._hostname}>",
            *([f"In-Reply-To: {found[0]}", f"References: {found[0]}"] if found else []),
            "Auto-Submitted: auto-replied",  # RFC 3834 5
            "MIME-Version: 1.0",
            f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
        ]
        return "\r\n".join(fields) + "\r\n"

    def _part(self, content_type: str, description: str, content: bytes, *, encode: bool = True) -> bytes:
        long_lines = max(map(len, content.split(b"\r\n"))) > MAX_LINE
        if content.isascii() and not long_lines:
            encoding = "7bit"
        elif (self.international and not long_lines) or not encode:
            encoding = "8bit"
        else:
            encoding = "quoted-printable"
            content = quopri.encodestring(content.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        fields = (
            f"Content-Type: {content_type}\r\nContent-Description: {description}\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
        )
        return fields.encode() + content

    # For people

    def _notification(self) -> bytes:
        text = self._wording.render(
            self._kind,
            {
                "hostname": self._hostname,
                "untold": self._untold,
                "age": self._wording.age(self._now - self._message.received),
                "recipients": [self._facts(delivery, result) for delivery, result in self._results],
                "fields": [
                    (name, _one_line(field.text)[:200])
                    for name in (() if self._redacted else _RELATED)
                    if (field := self._message.message.get(name))
                ],
                "received": _date(self._message.received),
                "id": self._message.id,
                "returned": "nothing" if self._redacted else "header" if self._full() is None else "message",
            },
        )
        return text.replace("\n", "\r\n").encode()

    def _facts(self, delivery: Delivery, result: Result) -> Mapping[str, str]:
        """What the words may name of a recipient."""
        facts = dict.fromkeys(("what", "action", "last", "reply", "reason", "status", "done"), "")
        facts |= {
            "address": str(delivery.recipient.forward_path),
            "remote": _one_line(result.remote),
            "next": _date(delivery.due),
            "until": _date(delivery.expires),
        }
        if isinstance(result, Delivered):
            return {**facts, "done": result.action}
        cause = self._wording.cause(cause_of(result))
        last = last_cause_of(result)
        return {
            **facts,
            "what": cause.what,
            "action": cause.action,
            "last": self._wording.cause(last).what if last else "",
            "reply": _one_line(str(result.reply)) if result.reply is not None else "",
            "reason": _one_line(result.reason),
            "status": result.status,
        }

    # For programs

    def _status(self) -> bytes:
        """RFC 3464 2.2 for the message, then 2.3 for each recipient."""
        fields = [f"Reporting-MTA: dns; {self._hostname}"]
        if self._message.envelope.envid:
            fields.insert(0, f"Original-Envelope-Id: {_one_line(self._message.envelope.envid)}")
        fields.append(f"Arrival-Date: {_date(self._message.received)}")
        groups = [fields, *(self._recipient(delivery, result) for delivery, result in self._results)]
        return "\r\n".join("".join(f"{line}\r\n" for line in group) for group in groups).encode()

    def _recipient(self, delivery: Delivery, result: Result) -> list[str]:
        fields = []
        recipient = delivery.recipient
        if recipient.orcpt:
            kind, _, address = recipient.orcpt.partition(";")
            fields.append(f"Original-Recipient: {self._typed(_one_line(kind), _one_line(address))}")
        final = _for_field(recipient.forward_path)
        fields.append(f"Final-Recipient: {self._typed('rfc822' if final.isascii() else 'utf-8', final)}")
        if isinstance(result, Delivered):
            # Where a folder stands is nobody's business but ours.
            fields += [f"Action: {result.action}", "Status: 2.0.0"]
            if result.action == "relayed":
                fields += [_remote(result.remote), self._diagnostic(f"smtp; {result.detail}")]
        else:
            code = f"smtp; {result.reply}" if result.reply is not None else f"x-mailgw; {result.reason}"
            fields += [f"Action: {'failed' if isinstance(result, Failed) else 'delayed'}", f"Status: {result.status}"]
            fields += [_remote(result.remote)] if result.remote else []
            fields += [self._diagnostic(code)]
        fields.append(f"Last-Attempt-Date: {_date(self._now)}")
        if isinstance(result, Delayed):  # RFC 3464 2.3.9
            fields.append(f"Will-Retry-Until: {_date(delivery.expires)}")
        return fields

    def _typed(self, kind: str, address: str) -> str:
        """A typed address; one of the type utf-8 in ASCII where the report is (RFC 6533 3)."""
        if kind.lower() == "utf-8" and not self.international:
            address = utf8_address_encode(address, ascii_only=True)
        return f"{kind}; {address}"

    def _diagnostic(self, code: str) -> str:
        code = _one_line(code) if self.international else _one_line(code).encode("ascii", "replace").decode()
        return "\r\n ".join(textwrap.wrap(f"Diagnostic-Code: {code}", 200))

    # The original

    def _original(self) -> bytes:
        full = self._full()
        if full is not None:
            kind = "message/rfc822" if self._message.message.head.isascii() else "message/global"
            return self._part(kind, "The undelivered message", full, encode=False)
        kind = "message/global-headers" if self.international else "text/rfc822-headers"
        return self._part(kind, "Header of the message", self._headers())

    def _full(self) -> bytes | None:
        """The whole original where the sender asked for it with RET=FULL, for a failure (RFC 3461 4.3)."""
        envelope, message = self._message.envelope, self._message.message
        # RFC 8689 5: what wants TLS goes back as if RET=HDRS was said.
        if envelope.ret != "FULL" or self._kind != "failure" or envelope.requiretls or self._redacted:
            return None
        if not isinstance(message.content, BytesContent) or message.size > MAX_RETURNED:
            return None
        if not message.head.isascii() and not self.international:  # message/global would need SMTPUTF8 (RFC 6532 3.7)
            return None
        data = b"".join(message.output())
        # An encoding of a message within a message is forbidden (RFC 2046 5.2.1).
        return data if max(map(len, data.split(b"\r\n"))) <= MAX_LINE else None

    def _headers(self) -> bytes:
        """The original's header as it went on, without the empty line."""
        message = self._message.message
        if self._redacted:
            fields = message.get_all("Message-ID")[:1]
            return b"".join(field.raw for field in fields if _MESSAGE_ID.fullmatch(field.text)) or b"\r\n"
        head = message.head_out
        if len(head) > MAX_HEADERS:
            head = head[: head.rfind(b"\r\n", 0, MAX_HEADERS) + 2]
        head = head.removesuffix(b"\r\n\r\n") + b"\r\n" if head.endswith(b"\r\n\r\n") else head
        return head.decode("utf-8", "replace").encode() if self.international else head


def _remote(remote: str) -> str:
    name = remote.partition(" ")[0]
    literal = name if re.search("[A-Za-z]", name) and ":" not in name else f"[{name}]"
    return f"Remote-MTA: dns; {literal}"


def _for_field(mailbox: Mailbox) -> str:
    """Give the address in ASCII where that can be: A-labels mean the same domain (RFC 5890)."""
    if mailbox.local_part.isascii():
        return str(evolve(mailbox, domain=mailbox.ascii_domain))
    return str(mailbox)


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text)[:MAX_TEXT].strip()


def _encoded(text: str) -> str:
    return text if text.isascii() else Header(text, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))
