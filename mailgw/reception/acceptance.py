"""Acceptance: a whole message is judged, routed, given its trace fields and put into the queue; then comes the 250."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.config.schema import Limits, Queue
from mailgw.mail.message import MAX_HEADER, Message
from mailgw.mail.reply import Reply
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Verdict
from mailgw.queue.item import QueuedMessage
from mailgw.queue.store import Entry, QueueStore
from mailgw.reception import trace
from mailgw.reception.fanout import deliveries
from mailgw.reception.guard import Guard
from mailgw.routing.interface import Routed
from mailgw.senderauth.received_spf import received_spf
from mailgw.senderauth.results import authentication_results, forged
from mailgw.verdict.judge import Early, Judge

Observer = Callable[[Transaction, Verdict], None]
"""Is told of a message and its verdict when that stands: refused, or in the queue. Must not block."""


@frozen
class TraceSettings:
    """What is written into messages."""

    hostname: str
    authserv_id: str
    spam_fields: bool
    hide_client_address: bool = False
    received_spf: bool = False


class Acceptance:
    """The last decision of reception. `offer` hands a stored entry to the scheduler."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        judge: Judge,
        store: QueueStore,
        offer: Callable[[Entry], None],
        limits: Limits,
        queue: Queue,
        trace_settings: TraceSettings,
        guard: Guard,
        clock: IReactorTime,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._judge = judge
        self._store = store
        self._offer = offer
        self._limits = limits
        self._queue = queue
        self._trace = trace_settings
        self._guard = guard
        self._clock = clock
        self._observers = observers

    async def accept(
        self, transaction: Transaction, routes: Sequence[Routed], early: Early | None
    ) -> tuple[Reply, bool]:
        """Decide about the message. `routes` stand in the order of the envelope's recipients.

        Gives the reply, and whether the queue has the content now. Raises TemporaryFailure.
        """
        message = transaction.message
        assert message is not None
        refusal = self._out_of_bounds(message)
        if refusal is not None:
            self._guard.outcome(transaction.client, False)
            self._log_refused(transaction, refusal, None)
            return refusal, False
        verdict = await self._judge.judge(transaction, early)
        # Where we defer it is no fault of the host's, and no credit either.
        if verdict.action != "defer":
            self._guard.outcome(transaction.client, verdict.action == "inbox")
        if verdict.reply is not None:
            self._log_refused(transaction, verdict.reply, verdict)
            self._tell(transaction, verdict)
            return verdict.reply, False
        reply = Reply(250, "2.0.0", (f"OK: queued as {transaction.id}",))
        if verdict.action == "discard":
            self._log_accepted(transaction, verdict)
            self._tell(transaction, verdict)
            return reply, False
        entry = self._entry(transaction, message, routes, verdict)
        await self._store.put(entry)
        try:
            self._log_accepted(transaction, verdict)
            self._offer(entry)
        except Exception:
            # The message is the queue's now: an error of ours behind that takes neither its 250 nor its content away.
            self.log.failure("error behind the put of {transaction}", event="error", transaction=transaction.id)
        self._tell(transaction, verdict)
        return reply, True

    def _tell(self, transaction: Transaction, verdict: Verdict) -> None:
        for observer in self._observers:
            try:
                observer(transaction, verdict)
            except Exception:
                self.log.failure("an observer failed on {transaction}", event="error", transaction=transaction.id)

    def _out_of_bounds(self, message: Message) -> Reply | None:
        limits = self._limits
        # Behind MAX_HEADER nobody has looked: whatever stands there, it is not let through as a header.
        unread = len(message.head) >= MAX_HEADER and not message.head.endswith(b"\r\n\r\n")
        if unread or len(message.head) > limits.header_size:
            return Reply(552, "5.3.4", (f"The header is larger than {limits.header_size} octets",))
        if len(message.fields) > limits.header_fields:
            return Reply(554, "5.6.0", (f"The header has more than {limits.header_fields} fields",))
        loop = trace.loop(message, self._trace.hostname, limits.hops)
        return Reply(554, "5.4.6", (f"Mail loop: {loop}",)) if loop else None

    def _entry(self, transaction: Transaction, message: Message, routes: Sequence[Routed], verdict: Verdict) -> Entry:
        now = self._clock.seconds()
        envelope = transaction.envelope
        lifetime = self._queue.lifetime if envelope.reverse_path is not None else self._queue.report_lifetime
        client = transaction.client
        queued = QueuedMessage(
            id=transaction.id,
            envelope=envelope,
            message=self._traced(transaction, message, verdict, now),
            received=now,
            origin=client.service,
            session_id=client.session_id,
            identity=client.identity,
            verdict=verdict,
        )
        return Entry(queued, deliveries(transaction.id, envelope, routes, verdict, now, now + lifetime))

    def _traced(self, transaction: Transaction, message: Message, verdict: Verdict, now: float) -> Message:
        """Put our fields in front. Mail of our own users gets Received only: the rest is for its readers here."""
        settings = self._trace
        prefix = trace.received(transaction, settings.hostname, now, hide_client=settings.hide_client_address)
        prefix += b"".join(transaction.additions)
        if transaction.client.identity:
            return evolve(message, prefix=prefix, cuts=trace.cuts(message, trace.RETURN_PATH))
        results = authentication_results(self._trace.authserv_id, transaction.auth)
        if settings.received_spf:
            results += received_spf(transaction.auth, transaction.client, settings.hostname)
        spam = trace.spam_fields(verdict) if self._trace.spam_fields else b""
        # RFC 8601 5: a field that claims to be ours and is not would be believed by every reader behind us. The same
        # goes for the X-Spam fields.
        own = trace.cuts(message, trace.RETURN_PATH | trace.SPAM_FIELDS)
        cuts = trace.merged((*own, *forged(message, settings.authserv_id)))
        return evolve(message, prefix=spam + results + prefix, cuts=cuts)

    def _log_accepted(self, transaction: Transaction, verdict: Verdict) -> None:
        self.log.info(
            "accepted {transaction} from <{sender}> for {recipients} ({size} octets, {action}, score {score})"
            " message-id {message_id}",
            event="accepted",
            action=verdict.action,
            score=round(verdict.score, 2),
            symbols=[line.symbol for line in verdict.lines],
            **_facts(transaction),
        )

    def _log_refused(self, transaction: Transaction, reply: Reply, verdict: Verdict | None) -> None:
        self.log.info(
            "refused {transaction} from <{sender}> for {recipients} ({size} octets): {reply} message-id {message_id}",
            event="refused",
            reply=str(reply),
            score=None if verdict is None else round(verdict.score, 2),
            symbols=[] if verdict is None else [line.symbol for line in verdict.lines],
            **_facts(transaction),
        )


def _facts(transaction: Transaction) -> dict[str, object]:
    message = transaction.message
    assert message is not None
    message_id = message.get("message-id")
    return {
        "transaction": transaction.id,
        "session": transaction.client.session_id,
        "service": transaction.client.service,
        "address": transaction.client.address,
        "identity": transaction.client.identity,
        "sender": str(transaction.envelope.reverse_path or ""),
        "recipients": [str(recipient.forward_path) for recipient in transaction.envelope.recipients],
        "size": message.size,
        "message_id": message_id.text[:255] if message_id is not None else "",
    }
