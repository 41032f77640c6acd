"""The text of a report: a delivery status notification (RFC 3464, RFC 6533) for people and programs."""

from __future__ import annotations

import quopri
import re
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

from attrs import evolve, frozen

from mailgw.delivery.causes import cause_of
from mailgw.mail.address import Mailbox
from mailgw.mail.message import BytesContent
from mailgw.queue.item import Delivered, Delivery, Failed, QueuedMessage
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


@frozen
class Kind:
    """A kind of report, in words."""

    subject: str
    one: str
    many: str


FAILURE = Kind(
    "Undelivered Mail Returned to Sender",
    "Your message could not be delivered to this recipient:",
    "Your message could not be delivered to these recipients:",
)
SUCCESS = Kind(
    "Successful Mail Delivery Report",
    "You asked for a report about this recipient:",
    "You asked for a report about these recipients:",
)
_DONE = {
    "delivered": "The message is in the mailbox. That does not say that it was read.",
    "relayed": "The message was passed on to the mail server {remote}. It makes no reports of success, so this is the "
    "last that we can tell.",
    "expanded": "The address stands for several recipients, and the message was sent on to each of them. We make no "
    "reports of success about them.",
}


class ReportText:
    """The bytes of one report about `results`, which are all of one kind.

    `international` says that its fields hold addresses that are not ASCII, so that it needs SMTPUTF8 itself. Without
    it the report is 7-bit, whatever a remote said, unless the whole original goes back and is not. `redacted` leaves
    out what tells of the original's content.
    """

    def __init__(
        self,
        report_id: str,
        hostname: str,
        message: QueuedMessage,
        results: Sequence[tuple[Delivery, Delivered | Failed]],
        now: float,
        *,
        redacted: bool = False,
    ) -> None:
        self._id = report_id
        self._hostname = hostname
        self._message = message
        self._results = results
        self._now = now
        self._redacted = redacted
        self._kind = FAILURE if isinstance(results[0][1], Failed) else SUCCESS
        assert message.envelope.reverse_path is not None
        self._to = _for_field(message.envelope.reverse_path)
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
            f"Subject: {self._kind.subject}",
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
        lines = [f"This is the mail server {self._hostname}.", ""]
        lines.append(self._kind.many if len(self._results) > 1 else self._kind.one)
        for delivery, result in self._results:
            lines += ["", f"  {delivery.recipient.forward_path}"]
            lines += _explanation(result) if isinstance(result, Failed) else _success(result)
        lines += ["", "Recipients who are not named here are not concerned.", "", "The message:"]
        for name in () if self._redacted else _RELATED:
            if field := self._message.message.get(name):
                lines.append(f"  {name}: {_one_line(field.text)[:200]}")
        lines += [f"  taken here at {_date(self._message.received)}, with the id {self._message.id}", ""]
        if self._redacted:
            lines += _wrapped("It was to go over secure connections only (REQUIRETLS), so nothing of it is shown.", "")
        returned = "It" if self._full() is not None else "Its header"
        lines += [
            "A report for programs is attached."
            if self._redacted
            else f"{returned}, and a report for programs, are attached."
        ]
        return "\r\n".join([*lines, ""]).encode()

    # For programs

    def _status(self) -> bytes:
        """RFC 3464 2.2 for the message, then 2.3 for each recipient."""
        fields = [f"Reporting-MTA: dns; {self._hostname}"]
        if self._message.envelope.envid:
            fields.insert(0, f"Original-Envelope-Id: {_one_line(self._message.envelope.envid)}")
        fields.append(f"Arrival-Date: {_date(self._message.received)}")
        groups = [fields, *(self._recipient(delivery, result) for delivery, result in self._results)]
        return "\r\n".join("".join(f"{line}\r\n" for line in group) for group in groups).encode()

    def _recipient(self, delivery: Delivery, result: Delivered | Failed) -> list[str]:
        fields = []
        recipient = delivery.recipient
        if recipient.orcpt:
            kind, _, address = recipient.orcpt.partition(";")
            fields.append(f"Original-Recipient: {self._typed(_one_line(kind), _one_line(address))}")
        final = _for_field(recipient.forward_path)
        fields.append(f"Final-Recipient: {self._typed('rfc822' if final.isascii() else 'utf-8', final)}")
        if isinstance(result, Failed):
            code = f"smtp; {result.reply}" if result.reply is not None else f"x-mailgw; {result.reason}"
            fields += ["Action: failed", f"Status: {result.status}"]
            fields += [_remote(result.remote)] if result.remote else []
            fields += [self._diagnostic(code)]
        else:
            # Where a folder stands is nobody's business but ours.
            fields += [f"Action: {result.action}", "Status: 2.0.0"]
            if result.action == "relayed":
                fields += [_remote(result.remote), self._diagnostic(f"smtp; {result.detail}")]
        fields.append(f"Last-Attempt-Date: {_date(self._now)}")
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
        if envelope.ret != "FULL" or self._kind is not FAILURE or envelope.requiretls or self._redacted:
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
        kept, position = [message.prefix], 0
        for start, end in message.cuts:
            kept.append(message.head[position:start])
            position = end
        head = b"".join((*kept, message.head[position:]))
        if len(head) > MAX_HEADERS:
            head = head[: head.rfind(b"\r\n", 0, MAX_HEADERS) + 2]
        head = head.removesuffix(b"\r\n\r\n") + b"\r\n" if head.endswith(b"\r\n\r\n") else head
        return head.decode("utf-8", "replace").encode() if self.international else head


def _explanation(failure: Failed) -> list[str]:
    cause = cause_of(failure)
    lines = [*_wrapped(cause.what), *_wrapped(cause.action)]
    if failure.reply is not None:
        said = _one_line(str(failure.reply))
        lines += ["", f"    What the remote server {failure.remote} said:", *_wrapped(said, "      ")]
        lines += ["", *_wrapped(f"({_one_line(failure.reason)}; status {failure.status})")]
    else:
        lines += ["", *_wrapped(f"In detail: {_one_line(failure.reason)} (status {failure.status})")]
    return lines


def _success(delivered: Delivered) -> list[str]:
    return _wrapped(_DONE.get(delivered.action, "").format(remote=delivered.remote))


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


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    return textwrap.wrap(text, 76, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))
