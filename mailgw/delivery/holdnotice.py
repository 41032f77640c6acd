"""Notices that mail of our own users is held: to its sender, and to who can release it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import ClassVar, Protocol

from attrs import evolve
from twisted.logger import Logger

from mailgw.config.schema import Quarantine
from mailgw.mail.address import AddressError, Mailbox, ascii_domain
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.identifiers import new_id
from mailgw.mail.message import Message
from mailgw.queue.item import Delivery, Priority, QueuedMessage
from mailgw.queue.store import Entry
from mailgw.routing.interface import Routed, Router

# A hijacked account may send thousands: one notice tells enough.
_PAUSE = 3600.0
_REMEMBERED = 10_000

_TEXT = """\
This is the mail server {hostname}.

A message that {user} sent is held: it looks like spam, and has not gone out.
Whoever runs this server can release it. Until {until} UTC it stays, then it is
thrown away.

  To:       {recipients}
  Subject:  {subject}
  Held as:  {id}

If you did not send it, somebody else may know your password: change it.
Further messages that are held within an hour are not told of.
"""


class Clock(Protocol):
    def seconds(self) -> float: ...


class HoldNotices:
    """Makes the notices about an entry that is held; none for mail from outside."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        hostname: str,
        postmaster: Mailbox,
        router: Router,
        settings: Quarantine,
        lifetime: float,
        clock: Clock,
        entropy: random.Random,
    ) -> None:
        """`lifetime` is that of a notice in the queue, in seconds."""
        self._hostname = hostname
        self._router = router
        self._settings = settings
        self._lifetime = lifetime
        self._clock = clock
        self._entropy = entropy
        addresses = [Mailbox.parse(text) for text in settings.notify]
        self._others = addresses or [postmaster]
        self._told: dict[str, float] = {}

    def about(self, entry: Entry) -> Sequence[Entry]:
        """Give the notices, ready to be put. Raises nothing of its own."""
        user, now = entry.message.identity, self._clock.seconds()
        if not user or now - self._told.get(user, -_PAUSE) < _PAUSE:
            return ()
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[user] = now
        return tuple(self._entries(entry, user, now))

    def _entries(self, entry: Entry, user: str, now: float) -> Iterator[Entry]:
        readers = dict.fromkeys(self._others)
        if self._settings.notify_sender and (sender := self._sender(entry.message)) is not None:
            readers = {sender: None, **readers}
        for reader in readers:
            routed = self._router.resolve(reader)
            if not isinstance(routed, Routed):
                self.log.warn("nobody can be told of held mail at {reader}", event="no_notice", reader=str(reader))
                continue
            yield self._notice(entry, user, reader, routed, now)

    def _sender(self, message: QueuedMessage) -> Mailbox | None:
        """The address of the user here: what the message says if it is ours, else what the user is called."""
        said = message.envelope.reverse_path
        if said is not None and self._router.is_ours(said.domain):
            return said
        try:
            return Mailbox.parse(message.identity)
        except AddressError:
            return None

    def _notice(self, entry: Entry, user: str, reader: Mailbox, routed: Routed, now: float) -> Entry:
        notice_id = new_id(now, self._entropy.randbytes(5))
        subject = entry.message.message.get("subject")
        until = datetime.fromtimestamp(min(delivery.due for delivery in entry.deliveries), UTC)
        recipients = [str(delivery.recipient.forward_path) for delivery in entry.deliveries]
        text = _TEXT.format(
            hostname=self._hostname,
            user=user,
            until=until.strftime("%Y-%m-%d %H:%M"),
            recipients=", ".join(recipients[:10]) + (f" and {len(recipients) - 10} more" if recipients[10:] else ""),
            subject=_printable(subject.text[:200] if subject is not None else ""),
            id=entry.message.id,
        )
        message = EmailMessage(policy=SMTP)
        message["From"] = f"Mail Delivery System <MAILER-DAEMON@{self._hostname}>"
        message["To"] = str(reader)
        message["Subject"] = "Your message is held" if str(reader) == user else "A message of a user is held"
        message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
        message["Message-ID"] = f"<{notice_id}@{self._hostname}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5
        message.set_content(text, cte="quoted-printable")
        queued = QueuedMessage(
            id=notice_id,
            envelope=Envelope(None, (Recipient(reader),), body="7BIT", smtputf8=not reader.is_ascii),
            message=Message.from_bytes(message.as_bytes()),
            received=now,
            origin="report",
            session_id=entry.message.session_id,
            author_domain=ascii_domain(self._hostname),
        )
        deliveries = []
        for number, target in enumerate(routed.targets):
            destination = target.destination
            if destination.agent == "maildir":
                destination = evolve(destination, folder="inbox")
            recipient = Recipient(target.mailbox)
            expires = now + self._lifetime
            deliveries.append(Delivery(notice_id, number, recipient, destination, now, expires, priority=Priority.BULK))
        self.log.info(
            "notice {notice} tells {reader} that {transaction} is held",
            event="notice",
            notice=notice_id,
            reader=str(reader),
            transaction=entry.message.id,
            session=entry.message.session_id,
        )
        return Entry(queued, tuple(deliveries))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
