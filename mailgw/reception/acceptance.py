"""Acceptance: a whole message is judged, routed, given its trace fields and put into the queue; then comes the 250."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from attrs import evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mailgw.config.schema import Limits
from mailgw.mail.message import MAX_HEADER, Content, Message
from mailgw.mail.reply import Reply
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Verdict
from mailgw.queue.store import Entry, QueueStore
from mailgw.reception import trace
from mailgw.reception.copies import Copies, owners
from mailgw.reception.guard import Guard
from mailgw.routing.interface import Routed
from mailgw.verdict.judge import Early, Judge
from mailgw.verdict.judgement import Judged, for_one_reply

Observer = Callable[[Transaction, Verdict], None]
"""Is told of a message and its verdict when that stands: refused, or in the queue. Must not block."""


class Recorder(Protocol):
    """Keeps what was decided, for those who ask later (`history`)."""

    def record(self, transaction: Transaction, results: Sequence[tuple[Judged, str]], reply: Reply) -> None:
        """Is told when the decision stands. `results` are the verdicts, each with the id of its message in the queue,
        or an empty one; none where the message was refused without a look. Must not block."""
        ...


class Acceptance:
    """The last decision of reception. `offer` hands a stored entry to the scheduler."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        judge: Judge,
        store: QueueStore,
        offer: Callable[[Entry], None],
        copies: Copies,
        limits: Limits,
        guard: Guard,
        clock: IReactorTime,
        new_id: Callable[[], str],
        observers: Sequence[Observer] = (),
        recorder: Recorder | None = None,
        notices: Callable[[Entry], Sequence[Entry]] = lambda _: (),
    ) -> None:
        """`notices` makes what is put beside an entry that is held, to tell of it."""
        self._judge = judge
        self._store = store
        self._offer = offer
        self._copies = copies
        self._limits = limits
        self._guard = guard
        self._clock = clock
        self._new_id = new_id
        self._observers = observers
        self._recorder = recorder
        self._notices = notices

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
            self._record(transaction, (), refusal)
            return refusal, False
        judged = await self._judge.judge(transaction, early, owners(transaction.envelope, routes))
        if transaction.client.service != "lmtp":
            judged = for_one_reply(judged)
        # Where we defer it is no fault of the host's, and no credit either.
        actions = {one.verdict.action for one in judged} - {"defer", "greylist"}
        if actions:
            self._guard.outcome(transaction.client, actions == {"inbox"})
        entries = await self._entries(transaction, message, routes, judged)
        notices = self._told_of(judged, entries)
        await self._put([entry for entry in entries if entry is not None], notices)
        reply = _reply(transaction.id, judged, len(routes))
        try:
            self._end(transaction, judged, entries, reply)
            for notice in notices:
                self._offer(notice)
        except Exception:
            # The message is the queue's now: an error of ours behind that takes neither its 250 nor its content away.
            self.log.failure("error behind the put of {transaction}", event="error", transaction=transaction.id)
        return reply, any(entry is not None for entry in entries)

    async def _entries(
        self, transaction: Transaction, message: Message, routes: Sequence[Routed], judged: Sequence[Judged]
    ) -> list[Entry | None]:
        """Make the entries, None for a verdict that takes no copy. The first has the transaction's id and content."""
        now = self._clock.seconds()
        entries: list[Entry | None] = []
        copied: list[Content] = []
        own, content = transaction.id, message
        author_domain: str | None = None
        try:
            for one in judged:
                if one.verdict.reply is not None or one.verdict.action == "discard":
                    entries.append(None)
                    continue
                if not own:
                    own = self._new_id()
                    copied.append(await self._store.copy(message.content, own))
                    content = evolve(message, content=copied[-1])
                if author_domain is None:
                    author_domain = self._copies.author_domain(transaction, message)
                entries.append(self._copies.entry(transaction, content, routes, one, own, now, author_domain))
                own = ""
        except Exception:
            for copy in copied:
                await self._store.discard(copy)
            raise
        return entries

    def _told_of(self, judged: Sequence[Judged], entries: Sequence[Entry | None]) -> list[Entry]:
        found: list[Entry] = []
        for one, entry in zip(judged, entries, strict=True):
            if entry is not None and one.verdict.action == "hold":
                try:
                    found += self._notices(entry)
                except Exception:
                    self.log.failure("no notice of {transaction}", event="error", transaction=entry.message.id)
        return found

    async def _put(self, entries: Sequence[Entry], notices: Sequence[Entry]) -> None:
        if not entries:
            return
        try:
            await self._store.put(*entries, *notices)
        except Exception:
            for entry in entries[1:]:
                await self._store.discard(entry.message.message.content)
            raise

    def _end(
        self, transaction: Transaction, judged: Sequence[Judged], entries: Sequence[Entry | None], reply: Reply
    ) -> None:
        """Say what was decided, to the log and to who wants to know, and have the scheduler begin."""
        for one, entry in zip(judged, entries, strict=True):
            if one.verdict.reply is not None:
                self._log_refused(transaction, one.verdict.reply, one)
            else:
                self._log_accepted(transaction, one, entry.message.id if entry is not None else transaction.id)
            if entry is not None:
                self._offer(entry)
        self._tell(transaction, judged[0].verdict)
        results = [(one, "" if entry is None else entry.message.id) for one, entry in zip(judged, entries, strict=True)]
        self._record(transaction, results, reply)

    def _record(self, transaction: Transaction, results: Sequence[tuple[Judged, str]], reply: Reply) -> None:
        if self._recorder is not None:
            self._recorder.record(transaction, results, reply)

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
        loop = trace.loop(message, self._copies.trace.hostname, limits.hops)
        return Reply(554, "5.4.6", (f"Mail loop: {loop}",)) if loop else None

    def _log_accepted(self, transaction: Transaction, judged: Judged, message_id: str) -> None:
        verdict = judged.verdict
        self.log.info(
            "accepted {transaction} from <{sender}> for {recipients} ({size} octets, {action}, score {score})"
            " message-id {message_id}",
            event="accepted",
            action=verdict.action,
            score=round(verdict.score, 2),
            symbols=[line.symbol for line in verdict.lines],
            **_facts(transaction, judged, message_id),
        )

    def _log_refused(self, transaction: Transaction, reply: Reply, judged: Judged | None) -> None:
        verdict = None if judged is None else judged.verdict
        self.log.info(
            "refused {transaction} from <{sender}> for {recipients} ({size} octets): {reply} message-id {message_id}",
            event="refused",
            reply=str(reply),
            score=None if verdict is None else round(verdict.score, 2),
            symbols=[] if verdict is None else [line.symbol for line in verdict.lines],
            **_facts(transaction, judged, transaction.id),
        )


def _reply(transaction_id: str, judged: Sequence[Judged], recipients: int) -> Reply:
    """The reply to the message; where LMTP's recipients get different ones, they are in it."""
    taken = Reply(250, "2.0.0", (f"OK: queued as {transaction_id}",))
    replies = [one.verdict.reply or taken for one in judged]
    if len(set(replies)) == 1:
        return replies[0]
    each = [taken] * recipients
    for one, reply in zip(judged, replies, strict=True):
        for number in one.recipients:
            each[number] = reply
    return evolve(taken if taken in replies else replies[0], each=tuple(each))


def _facts(transaction: Transaction, judged: Judged | None, queued_as: str) -> dict[str, object]:
    """What the log says of a message for some of its recipients. `transaction` is the id by which it goes on; the
    copies of one message name the first in `copy_of`."""
    message = transaction.message
    assert message is not None
    message_id = message.get("message-id")
    recipients = transaction.envelope.recipients
    if judged is not None and len(judged.recipients) < len(recipients):
        recipients = tuple(recipients[number] for number in judged.recipients)
    facts: dict[str, object] = {
        "transaction": queued_as,
        "session": transaction.client.session_id,
        "service": transaction.client.service,
        "address": transaction.client.address,
        "identity": transaction.client.identity,
        "sender": str(transaction.envelope.reverse_path or ""),
        "recipients": [str(recipient.forward_path) for recipient in recipients],
        "size": message.size,
        "message_id": message_id.text[:255] if message_id is not None else "",
    }
    if queued_as != transaction.id:
        facts["copy_of"] = transaction.id
    return facts
