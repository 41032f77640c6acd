"""Puts a report into the queue, as ordinary mail to the outside."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.identifiers import new_id
from mailgw.mail.message import Message
from mailgw.queue.item import ANY_TLS, Delivery, Priority, QueuedMessage
from mailgw.queue.store import Entry
from mailgw.routing.interface import Origin, Routed, Router

# Nobody shall be told that a report could not be delivered (RFC 3461 4.1): its destination is somebody else's wish.
_SILENT = frozenset({"NEVER"})


@frozen
class Post:
    """A report as it is posted to a URL."""

    url: str
    report_id: str
    body: bytes
    media_type: str


@frozen
class ReportMail:
    """A report as mail, ready to go. Its sender is the reverse-path too, so that SPF can align it."""

    sender: Mailbox
    recipients: Sequence[Mailbox]
    content: bytes
    detail: str
    """What it is, for people."""
    lifetime: float = math.inf
    """Seconds that it is tried, where that is less than what the queue gives to reports."""
    any_tls: bool = False
    """Whether it goes whatever becomes of TLS."""
    posts: Sequence[Post] = ()
    """By HTTPS too, or only so where there are no recipients."""
    posted_until: float = 0.0
    """Wall clock, seconds: as long as nobody took it, posting is tried again."""


class Outbox:
    """`put` makes an entry durable, `offer` hands it to the scheduler, `lifetime` is in seconds."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        put: Callable[[Entry], Awaitable[None]],
        offer: Callable[[Entry], None],
        router: Router,
        clock: IReactorTime,
        entropy: random.Random,
        lifetime: float,
    ) -> None:
        self._put = put
        self._offer = offer
        self._router = router
        self._clock = clock
        self._entropy = entropy
        self._lifetime = lifetime

    async def send(self, mail: ReportMail) -> str:
        """Give its id in the queue; empty when nobody is there to take it. Raises TemporaryFailure."""
        now = self._clock.seconds()
        message_id = new_id(now, self._entropy.randbytes(5))
        recipients = tuple(Recipient(mailbox, notify=_SILENT) for mailbox in mail.recipients)
        deliveries: list[Delivery] = []
        for recipient in recipients:
            routed = self._router.resolve(recipient.forward_path, Origin(mail.sender))
            for target in routed.targets if isinstance(routed, Routed) else ():
                destination = target.destination
                if destination.agent == "maildir":
                    destination = evolve(destination, folder="inbox")
                elif mail.any_tls and destination.target.startswith("mx:"):
                    destination = evolve(destination, target=f"{ANY_TLS}:{destination.target[3:]}")
                towards = evolve(recipient, forward_path=target.mailbox)
                number, expires = len(deliveries), now + min(self._lifetime, mail.lifetime)
                deliveries.append(
                    Delivery(message_id, number, towards, destination, now, expires, priority=Priority.BULK)
                )
        if not deliveries:
            return ""
        queued = QueuedMessage(
            id=message_id,
            envelope=Envelope(mail.sender, recipients, body="7BIT"),
            message=Message.from_bytes(mail.content),
            received=now,
            origin="report",
            author_domain=mail.sender.ascii_domain,
        )
        entry = Entry(queued, tuple(deliveries))
        await self._put(entry)
        self.log.info(
            "report {transaction} goes to {recipients}: {detail}",
            event="report_sent",
            transaction=message_id,
            recipients=[str(mailbox) for mailbox in mail.recipients],
            detail=mail.detail,
        )
        self._offer(entry)
        return message_id
