"""The mail transaction of a session: MAIL, RCPT, DATA and BDAT, up to the message that acceptance decides about."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from attrs import evolve, frozen
from twisted.logger import Logger

from mailgw.config.schema import Limits, Timeouts
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.reply import Reply
from mailgw.mail.transaction import Client, Transaction
from mailgw.queue.store import ContentWriter, QueueStore
from mailgw.reception.acceptance import Acceptance
from mailgw.reception.guard import Guard
from mailgw.reception.incoming import Incoming, NoWriter
from mailgw.reception.link import Link
from mailgw.reception.sender_policy import SenderPolicy
from mailgw.reception.verification import unknown, verify
from mailgw.routing.interface import Origin, RecipientVerifier, Routed, Router, Unknown
from mailgw.smtp import events
from mailgw.verdict.judge import Early, Judge

_SENDER_OK = Reply(250, "2.1.0", ("Sender OK",))
_RECIPIENT_OK = Reply(250, "2.1.5", ("Recipient OK",))
_START_MAIL = Reply(354, "", ("Start mail input; end with <CRLF>.<CRLF>",))


@frozen
class IntakeSettings:
    """What all transactions of a listener share. `new_id` makes transaction ids; `postmaster_domain` is where the
    bare `postmaster` of RFC 5321 4.5.1 lives."""

    router: Router
    store: QueueStore
    judge: Judge
    acceptance: Acceptance
    limits: Limits
    timeouts: Timeouts
    new_id: Callable[[], str]
    postmaster_domain: str
    verifier: RecipientVerifier
    guard: Guard
    senders: SenderPolicy


class Intake:
    """At most one transaction at a time. `client` is set anew by the session when more is known of it."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, client: Client, link: Link, settings: IntakeSettings) -> None:
        self.client = client
        self._link = link
        self._settings = settings
        self._envelope: Envelope | None = None
        self._recipients: list[tuple[Recipient, Routed]] = []
        self._early: Early | None = None
        self._incoming: Incoming | None = None  # between the chunks of BDAT too

    def reset(self) -> None:
        """Forget the transaction (RFC 5321 4.1.1.5)."""
        self._envelope = None
        self._recipients = []
        self._link.in_transaction = False
        early, self._early = self._early, None
        if early is not None:
            early.cancel()
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.abandon()

    def mail(self, event: events.Mail) -> Reply:
        refusal = self._settings.senders.refuse_reverse_path(self.client.identity, event.reverse_path)
        if refusal is not None:
            return self._refuse_sender(event.reverse_path, refusal)
        self._envelope = Envelope(
            event.reverse_path,
            body=event.body,
            smtputf8=event.smtputf8,
            ret=event.ret,
            envid=event.envid,
            requiretls=event.requiretls,
        )
        self._link.in_transaction = True
        # DNS is asked while the client goes on with RCPT and DATA, so that nobody waits for it.
        self._early = self._settings.judge.begin(self.client, event.reverse_path)
        return _SENDER_OK

    async def rcpt(self, event: events.Rcpt) -> Reply:
        """Take a recipient. Waits only for what a next hop is asked."""
        limits = self._settings.limits
        most = limits.recipients_authenticated if self.client.identity else limits.recipients
        if len(self._recipients) >= most:
            # RFC 5321 4.5.3.1.10: the client sends the rest in another transaction.
            return Reply(452, "4.5.3", (f"Too many recipients, {most} are taken at once",))
        mailbox = event.forward_path
        if not mailbox.domain:
            mailbox = Mailbox(mailbox.local_part, self._settings.postmaster_domain)
        assert self._envelope is not None  # the core answers 503 otherwise
        refusal = self._settings.guard.recipient(self.client, self._envelope.reverse_path, mailbox)
        if refusal is not None:
            return refusal
        origin = Origin(self._envelope.reverse_path, self.client.identity)
        routed = self._settings.router.resolve(mailbox, origin)
        if isinstance(routed, Unknown):
            return self._refuse(mailbox, unknown(mailbox), routed.reason)
        if not routed.ours and self.client.service != "submission":
            reply = Reply(550, "5.7.1", (f"<{mailbox}> is not ours, and this port does not relay",))
            return self._refuse(mailbox, reply, "relay")
        if routed.reports_only and self._envelope.reverse_path is not None:
            reply = Reply(550, "5.7.1", (f"<{mailbox}> takes delivery reports only",))
            return self._refuse(mailbox, reply, "a return path, and the message is no report")
        if routed.undecided:
            doubt = await verify(mailbox, routed, self._settings.verifier)
            if doubt is not None:
                return self._refuse(mailbox, doubt.reply, doubt.reason)
        self._recipients.append((Recipient(mailbox, event.orcpt, event.notify), routed))
        return _RECIPIENT_OK

    def _refuse(self, mailbox: Mailbox, reply: Reply, reason: str) -> Reply:
        assert self._envelope is not None
        self.log.info(
            "refused recipient <{recipient}> of <{sender}> from {address}: {reason}",
            event="recipient_refused",
            recipient=str(mailbox),
            sender=str(self._envelope.reverse_path or ""),
            address=self.client.address,
            reason=reason,
            session=self.client.session_id,
        )
        return reply

    def _refuse_sender(self, reverse_path: Mailbox | None, reply: Reply) -> Reply:
        self.log.info(
            "refused mail of {identity} as <{sender}>: {reason}",
            event="sender_refused",
            identity=self.client.identity,
            sender=str(reverse_path or ""),
            address=self.client.address,
            reason=reply.lines[0],
            session=self.client.session_id,
        )
        return reply

    async def data(self, link: Link) -> Reply:
        """Take the message and decide about it. The reply is the one to the final dot."""
        transaction_id = self._settings.new_id()
        incoming = self._begin(transaction_id, self._settings.store.new_content(transaction_id))
        link.send(_START_MAIL)
        return await self._take(incoming)

    async def bdat(self) -> Reply:
        """Take a chunk of the message, and decide about it after the last. The reply is the one to the chunk."""
        return await self._take(self._incoming or self._begin_chunks())

    def _begin_chunks(self) -> Incoming:
        transaction_id = self._settings.new_id()
        writer: ContentWriter
        try:
            writer = self._settings.store.new_content(transaction_id)
        except Exception as error:  # the chunk's octets come all the same, and must not be taken for commands
            writer = NoWriter(error)
        return self._begin(transaction_id, writer)

    def _begin(self, transaction_id: str, writer: ContentWriter) -> Incoming:
        self._incoming = Incoming(transaction_id, writer)
        return self._incoming

    async def _take(self, incoming: Incoming) -> Reply:
        more = kept = False
        try:
            end = await incoming.receive(self._link, self._settings.timeouts.data)
            if end.problem is not None:
                return end.problem
            if isinstance(end, events.ChunkEnd):
                more = True
                return Reply(250, "2.0.0", (f"{end.size} octets taken so far",))
            reply, kept = await self._decide(incoming)
            return reply
        finally:
            if not more:
                self._incoming = None
                if not kept:
                    await incoming.abort()
                self.reset()

    async def _decide(self, incoming: Incoming) -> tuple[Reply, bool]:
        """Give the reply to the message, and whether the queue has its content now."""
        assert self._envelope is not None  # the core answers 503 otherwise
        transaction = Transaction(
            incoming.id,
            self.client,
            evolve(self._envelope, recipients=tuple(recipient for recipient, _ in self._recipients)),
        )
        transaction.message = await incoming.message()
        refusal = self._settings.senders.refuse_author(self.client.identity, transaction.message)
        if refusal is not None:
            return self._refuse_sender(self._envelope.reverse_path, refusal), False
        routes = [routed for _, routed in self._recipients]
        return await self._settings.acceptance.accept(transaction, routes, self._early)
