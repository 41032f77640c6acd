"""What is put into the queue for a message that is taken: for each verdict a message with its trace fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from attrs import evolve, frozen
from twisted.logger import Logger

from mailgw.config.schema import Quarantine, Queue
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope
from mailgw.mail.message import Message
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import QueuedMessage
from mailgw.queue.priority import priority_of
from mailgw.queue.quarantine import hold
from mailgw.queue.store import Entry
from mailgw.reception import trace
from mailgw.reception.authorship import authorship
from mailgw.reception.fanout import deliveries
from mailgw.reception.forwarding import for_outside
from mailgw.reception.sender_policy import SenderPolicy
from mailgw.routing.interface import Routed
from mailgw.senderauth.received_spf import received_spf
from mailgw.senderauth.results import authentication_results, forged
from mailgw.verdict.judgement import Judged


@frozen
class TraceSettings:
    """What is written into messages."""

    hostname: str
    authserv_id: str
    spam_fields: bool
    hide_client_address: bool = False
    received_spf: bool = False


class Copies:
    """Makes the queue's entries. `senders` knows who may write under which address."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, trace_settings: TraceSettings, queue: Queue, quarantine: Quarantine, senders: SenderPolicy
    ) -> None:
        self.trace = trace_settings
        self._queue = queue
        self._quarantine = quarantine
        self._senders = senders

    def author_domain(self, transaction: Transaction, message: Message) -> str:
        """Give the domain that may be signed for; empty where From is not the user's. Once a transaction: it logs.

        Decided now, since users and aliases may change while the message waits.
        """
        identity = transaction.client.identity
        if not identity:
            return ""
        found = authorship(message, identity, self._senders)
        if not found.domain:
            self.log.info(
                "{transaction} of {identity} will not be signed: {reason}",
                event="not_signed",
                transaction=transaction.id,
                session=transaction.client.session_id,
                identity=identity,
                reason=found.reason,
            )
        return found.domain

    def entry(
        self,
        transaction: Transaction,
        message: Message,
        routes: Sequence[Routed],
        judged: Judged,
        message_id: str,
        now: float,
        author_domain: str,
    ) -> Entry:
        """Make the entry for those recipients that a verdict is for. `message` has their content; `routes` stand in
        the order of the envelope's recipients; `now` is the wall clock; `author_domain` is
        what the method of that name gives."""
        envelope = transaction.envelope
        lifetime = self._queue.lifetime if envelope.reverse_path is not None else self._queue.report_lifetime
        priority = priority_of(envelope, message, self._queue.bulk_recipients)
        if len(judged.recipients) < len(routes):
            envelope = evolve(envelope, recipients=tuple(envelope.recipients[number] for number in judged.recipients))
            routes = [routes[number] for number in judged.recipients]
        client = transaction.client
        queued = QueuedMessage(
            id=message_id,
            envelope=envelope,
            message=self._traced(transaction, message, judged.verdict, now),
            received=now,
            origin=client.service,
            session_id=client.session_id,
            identity=client.identity,
            verdict=judged.verdict,
            author_domain=author_domain,
        )
        ways = deliveries(message_id, envelope, routes, judged.verdict, now, now + lifetime, priority)
        hold_until = now + self._quarantine.lifetime
        if judged.verdict.action == "hold":
            ways = tuple(hold(delivery, hold_until) for delivery in ways)
        else:
            ways = for_outside(ways, judged.verdict, transaction.dmarc, hold_until)
        return Entry(queued, ways)

    def _traced(self, transaction: Transaction, message: Message, verdict: Verdict, now: float) -> Message:
        """Put our fields in front. Mail of our own users gets Received, and Date and Message-ID where it has none: the
        rest is for its readers here."""
        settings = self.trace
        prefix = trace.received(transaction, settings.hostname, now, hide_client=settings.hide_client_address)
        prefix += b"".join(transaction.additions)
        if transaction.client.identity:
            prefix += trace.completion(message, transaction.id, settings.hostname, now)
            return evolve(message, prefix=prefix, cuts=trace.cuts(message, trace.RETURN_PATH))
        results = authentication_results(settings.authserv_id, transaction.auth)
        if settings.received_spf:
            results += received_spf(transaction.auth, transaction.client, settings.hostname)
        spam = trace.spam_fields(verdict) if settings.spam_fields else b""
        # RFC 8601 5: a field that claims to be ours and is not would be believed by every reader behind us. The same
        # goes for the X-Spam fields.
        own = trace.cuts(message, trace.RETURN_PATH | trace.SPAM_FIELDS)
        cuts = trace.merged((*own, *forged(message, settings.authserv_id)))
        return evolve(message, prefix=spam + results + prefix, cuts=cuts)


def owners(envelope: Envelope, routes: Sequence[Routed]) -> list[list[Mailbox]]:
    """Give the addresses that each recipient goes by: what the client said, and the mailbox that it leads to."""
    return [
        [recipient.forward_path, *(target.mailbox for target in routed.targets[:1] if len(routed.targets) == 1)]
        for recipient, routed in zip(envelope.recipients, routes, strict=True)
    ]
