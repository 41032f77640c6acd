"""The mail that carries a report (RFC 9990 "Email"; RFC 8460 5.3 is much the same)."""

from __future__ import annotations

import base64
import gzip
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

from attrs import frozen

from mailgw.mail.address import Mailbox


@frozen
class Letter:
    """A mail with one attachment. `subject` are words that stand on lines of their own where it is folded."""

    sender: Mailbox
    recipients: Sequence[Mailbox]
    subject: Sequence[str]
    message_id: str
    date: float
    text: str
    filename: str
    attachment: bytes
    media_type: str
    multipart: str = "mixed"
    """The kind of multipart, with its parameters."""
    fields: Sequence[tuple[str, str]] = ()
    """More header fields."""

    def encode(self) -> bytes:
        """Give the whole message, in 7 bits, with CRLF."""
        boundary = "=_report"  # `=_` stands in neither base64 nor our text
        to = ",\r\n ".join(str(recipient) for recipient in self.recipients)
        header = [
            f"From: {self.sender}",
            f"To: {to}",
            "Subject: " + "\r\n ".join(self.subject),
            f"Date: {format_datetime(datetime.fromtimestamp(self.date, UTC))}",
            f"Message-ID: <{self.message_id}>",
            "Auto-Submitted: auto-generated",  # RFC 3834 5
            *(f"{name}: {value}" for name, value in self.fields),
            "MIME-Version: 1.0",
            f'Content-Type: multipart/{self.multipart};\r\n boundary="{boundary}"',
            "",
            f"--{boundary}",
            "Content-Type: text/plain; charset=us-ascii",
            "",
            *(line for paragraph in self.text.splitlines() for line in textwrap.wrap(paragraph, 76) or [""]),
            f"--{boundary}",
            f"Content-Type: {self.media_type}",
            f'Content-Disposition: attachment;\r\n filename="{self.filename}"',
            "Content-Transfer-Encoding: base64",
            "",
        ]
        body = base64.encodebytes(self.attachment).replace(b"\n", b"\r\n")
        return "\r\n".join([*header, ""]).encode("ascii", "replace") + body + f"--{boundary}--\r\n".encode()


def packed(data: bytes) -> bytes:
    """Compress; the same data gives the same octets, so that a report sent again is the same."""
    return gzip.compress(data, mtime=0)
