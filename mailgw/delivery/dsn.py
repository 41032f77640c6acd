"""Reports to the sender: who is told what, and where the report goes (RFC 3461 5, RFC 5321 6.1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from attrs import evolve
from twisted.logger import Logger

from mailgw.config import schema
from mailgw.delivery.report import ReportText
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.identifiers import new_id
from mailgw.mail.message import Message
from mailgw.queue.item import Delivered, Delivery, Failed, QueuedMessage
from mailgw.queue.store import Entry
from mailgw.routing.interface import Routed, Router

Results = Sequence[tuple[Delivery, Delivered | Failed]]


class Clock(Protocol):
    def seconds(self) -> float: ...


class ReportWriter:
    """Writes reports and routes them back: a queue.agent.Reporter."""

    log = Logger()

    def __init__(
        self, hostname: str, router: Router, settings: schema.Queue, clock: Clock, random: random.Random
    ) -> None:
        self._hostname = hostname
        self._router = router
        self._settings = settings
        self._clock = clock
        self._random = random

    def report(self, message: QueuedMessage, results: Results) -> Sequence[Entry]:
        """Make a report about those who failed, and one about those who were delivered as the sender asked to know.

        None where nobody may be told: the message is a report itself (RFC 5321 6.1), the sender asked for none
        (RFC 3461 4.1), or its address is ours and does not exist.
        """
        failures = [(delivery, result) for delivery, result in results if isinstance(result, Failed)]
        told = [(delivery, failure) for delivery, failure in failures if _wants_failures(delivery.recipient)]
        successes = [
            (delivery, result)
            for delivery, result in results
            if isinstance(result, Delivered) and result.action and _wants_successes(message, delivery.recipient)
        ]
        sender = message.envelope.reverse_path
        if failures and (sender is None or not told):
            self._log_nobody(message, "it is a report itself" if sender is None else "the sender wants none")
        kinds: list[Results] = [group for group in (told, successes) if group]
        if sender is None or not kinds:
            return ()
        routed = self._router.resolve(sender)
        if not isinstance(routed, Routed):
            self._log_nobody(message, f"its sender {sender} is unknown: {routed.reason}")
            return ()
        return tuple(self._entry(message, group, sender, routed) for group in kinds)

    def _entry(self, message: QueuedMessage, results: Results, sender: Mailbox, routed: Routed) -> Entry:
        now = self._clock.seconds()
        report_id = new_id(now, self._random.randbytes(5))
        # RFC 8689 5: a report about it must be protected as the message was, unless it is redacted. Nothing says that
        # the way back to a sender outside is: so that report tells nothing, and comes through.
        requiretls = message.envelope.requiretls
        redacted = requiretls and any(target.destination.agent != "maildir" for target in routed.targets)
        text = ReportText(report_id, self._hostname, message, results, now, redacted=redacted)
        data = text.encode()
        queued = QueuedMessage(
            id=report_id,
            envelope=Envelope(
                None,
                (Recipient(sender),),
                body="7BIT" if data.isascii() else "8BITMIME",
                smtputf8=text.international,
                requiretls=requiretls and not redacted,
            ),
            message=Message.from_bytes(data),
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


def _wants_failures(recipient: Recipient) -> bool:
    """RFC 3461 4.1: without NOTIFY a failure is reported; with it, only when FAILURE is named."""
    return not recipient.notify or "FAILURE" in recipient.notify


def _wants_successes(message: QueuedMessage, recipient: Recipient) -> bool:
    """RFC 3461 4.1. Spam is not confirmed: its sender is most likely forged, or looks for addresses that exist."""
    return "SUCCESS" in recipient.notify and (message.verdict is None or message.verdict.action != "spam")
