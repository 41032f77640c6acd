"""Reports to the sender: who is told what, and where the report goes (RFC 3461 5, RFC 5321 6.1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from attrs import evolve
from twisted.logger import Logger

from mailgw.delivery.report import ReportText
from mailgw.delivery.wording import Wording
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.identifiers import new_id
from mailgw.mail.message import Message
from mailgw.queue.item import Delayed, Delivered, Delivery, Failed, Priority, QueuedMessage, Reportable
from mailgw.queue.store import Entry
from mailgw.routing.interface import Routed, Router

Results = Sequence[tuple[Delivery, Reportable]]


class Clock(Protocol):
    def seconds(self) -> float: ...


class ReportWriter:
    """Writes reports and routes them back: a queue.agent.Reporter."""

    log = Logger()

    def __init__(
        self,
        hostname: str,
        postmaster: Mailbox,
        router: Router,
        wording: Wording,
        lifetime: float,
        clock: Clock,
        random: random.Random,
        *,
        tell_postmaster: bool = True,
    ) -> None:
        """`lifetime` is that of a report in the queue, in seconds. With `tell_postmaster` the postmaster hears of what
        a sender is not told for fear that its address is forged."""
        self._hostname = hostname
        self._postmaster = postmaster
        self._router = router
        self._wording = wording
        self._lifetime = lifetime
        self._clock = clock
        self._random = random
        self._tell_postmaster = tell_postmaster

    def report(self, message: QueuedMessage, results: Results) -> Sequence[Entry]:
        """Make a report about those who failed, one about those who are late, and one about those who were delivered
        as the sender asked to know.

        None where nobody may be told: the message is a report itself (RFC 5321 6.1), the sender asked for none
        (RFC 3461 4.1), its address is ours and does not exist, or may be forged.
        """
        sender = message.envelope.reverse_path
        failures = [result for result in results if isinstance(result[1], Failed)]
        if sender is None:
            self._log_nobody(message, "it is a report itself")
            return ()
        kinds: list[Results] = [
            [(delivery, failure) for delivery, failure in failures if _wants_failures(delivery.recipient)],
            [(d, result) for d, result in results if isinstance(result, Delayed) and _wants_delays(d.recipient)],
            [(d, result) for d, result in results if isinstance(result, Delivered) and _wants(result, d.recipient)],
        ]
        if failures and not kinds[0]:
            self._log_nobody(message, "the sender wants none")
        if any(kinds) and not is_verified(message):
            return self._to_postmaster(message, kinds[0])
        routed = self._router.resolve(sender)
        if any(kinds) and not isinstance(routed, Routed):
            self._log_nobody(message, f"its sender {sender} is unknown: {routed.reason}")
            return ()
        assert isinstance(routed, Routed)
        return tuple(self._entry(message, group, sender, routed) for group in kinds if group)

    def _to_postmaster(self, message: QueuedMessage, failures: Results) -> Sequence[Entry]:
        """Backscatter: a report to a forged address goes to somebody who has nothing to do with the message."""
        spam = message.verdict is not None and message.verdict.action == "spam"
        routed = self._router.resolve(self._postmaster)
        if not failures or spam or not self._tell_postmaster or not isinstance(routed, Routed):
            self._log_nobody(message, "nothing proves that its sender's address is not forged")
            return ()
        return (self._entry(message, failures, self._postmaster, routed),)

    def _entry(self, message: QueuedMessage, results: Results, reader: Mailbox, routed: Routed) -> Entry:
        now = self._clock.seconds()
        report_id = new_id(now, self._random.randbytes(5))
        # RFC 8689 5: a report about it must be protected as the message was, unless it is redacted. Nothing says that
        # the way back to a sender outside is: so that report tells nothing, and comes through.
        requiretls = message.envelope.requiretls
        redacted = requiretls and any(target.destination.agent != "maildir" for target in routed.targets)
        text = ReportText(
            report_id, self._hostname, message, results, now, self._wording, reader=reader, redacted=redacted
        )
        data = text.encode()
        queued = QueuedMessage(
            id=report_id,
            envelope=Envelope(
                None,
                (Recipient(reader),),
                body="7BIT" if data.isascii() else "8BITMIME",
                smtputf8=text.international,
                requiretls=requiretls and not redacted,
            ),
            message=Message.from_bytes(data),
            received=now,
            origin="report",
            session_id=message.session_id,
            author_domain=ascii_domain(self._hostname),
        )
        expires = now + self._lifetime
        deliveries = []
        for number, target in enumerate(routed.targets):
            destination = target.destination
            if destination.agent == "maildir":
                destination = evolve(destination, folder="inbox")
            recipient = Recipient(target.mailbox)
            deliveries.append(Delivery(report_id, number, recipient, destination, now, expires, priority=Priority.BULK))
        self.log.info(
            "report {report} tells {reader} of {transaction}",
            event="report",
            report=report_id,
            transaction=message.id,
            session=message.session_id,
            reader=str(reader),
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


def is_verified(message: QueuedMessage) -> bool:
    """Whether the sender's address is proved not to be forged: a user of ours submitted it, a server of ours passed it
    on, SPF passed, or DMARC did for the reverse-path's domain."""
    if message.origin != "mx" or message.identity:
        return True
    sender, verdict = message.envelope.reverse_path, message.verdict
    if verdict is None or sender is None or verdict.action == "spam":
        return False
    symbols = {line.symbol for line in verdict.lines}
    if "SPF_PASS" in symbols:
        return True
    author = message.message.get("From")  # one, with one domain, else DMARC would not pass
    if author is None or "DMARC_PASS" not in symbols:
        return False
    return author.text.rstrip("> \t").lower().endswith(f"@{sender.ascii_domain}")


def _wants_failures(recipient: Recipient) -> bool:
    """RFC 3461 4.1: without NOTIFY a failure is reported; with it, only when FAILURE is named."""
    return not recipient.notify or "FAILURE" in recipient.notify


def _wants_delays(recipient: Recipient) -> bool:
    """RFC 3461 4.1: without NOTIFY it is ours to choose."""
    return not recipient.notify or "DELAY" in recipient.notify


def _wants(result: Delivered, recipient: Recipient) -> bool:
    return bool(result.action) and "SUCCESS" in recipient.notify
