"""Relay: mail to the outside, by MX or by a route."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import define, evolve
from twisted.logger import Logger

from mailgw.delivery.attempt import Attempt, Signer
from mailgw.delivery.classify import Peer, Unreachable, is_too_many_recipients, outcome_of
from mailgw.delivery.connection import SmtpConnection
from mailgw.delivery.downhosts import Server
from mailgw.delivery.lookuptime import LookupTime
from mailgw.delivery.opening import Access
from mailgw.delivery.sessions import NextHops, Sessions
from mailgw.delivery.tls import requiretls
from mailgw.operation.threads import Threads
from mailgw.queue.item import Delayed, Delivered, Delivery, Destination, Outcome, QueuedMessage
from mailgw.smtp.client import MailTransaction, Result

# Hosts that one attempt opens a session with, when the first takes a part or nothing for now.
MAX_SESSIONS = 2
_Answered = tuple[int, Result | None]


@define
class _Left:
    """What an attempt may still try and open, and with whom it has spoken already."""

    tries: int
    sessions: int = MAX_SESSIONS
    but: Server | None = None


class RelayAgent:
    """Sends to `mx:DOMAIN` and `route:NAME`, over connections that are kept for the next message."""

    log = Logger()

    def __init__(self, sessions: Sessions, threads: Threads, signer: Signer | None = None) -> None:
        """`sessions` may be shared, with `CallAhead`; `threads` read contents that are files."""
        self.max_recipients = sessions.settings.max_recipients
        self.sessions = sessions
        self._threads = threads
        self._signer = signer

    async def close(self) -> None:
        """End all connections; what is under way is delayed."""
        await self.sessions.pool.close()

    async def site(self, destination: Destination) -> str:
        """`route:NAME`, or `mx:` and the sorted MX hosts."""
        return await self.sessions.site(destination.target)

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Attempt it: over a connection that is open, else over new ones to one host after the other."""
        attempt = Attempt(message, deliveries)
        dns = self.sessions.lookup_time()
        try:
            target = deliveries[0].destination.target
            found = await dns.count(self.sessions.next_hops(target, held=requiretls.is_held(message)))
            hops = requiretls.hops_for(message, found)
        except Unreachable as error:
            attempt.note_all(error.outcome)
            return attempt.outcomes
        left = _Left(self.sessions.settings.max_addresses)
        while attempt.pending and (connection := self.sessions.pool.take(hops.key)):
            if await self._use(connection, hops, attempt):
                left = evolve(left, sessions=MAX_SESSIONS - 1, but=(connection.peer.address, connection.port))
                break
        await self._try_hosts(hops, attempt, dns, left)
        return attempt.outcomes

    async def _try_hosts(self, hops: NextHops, attempt: Attempt, dns: LookupTime, left: _Left) -> None:
        """Go from address to address until nobody is pending, or enough was tried."""
        down: list[tuple[Peer, int, Access]] = []
        for host, port in hops.hosts:
            if not attempt.pending:
                return
            try:
                asking = self.sessions.exchangers.addresses(host, hops.local.family)
                addresses = await dns.spend(asking, f"the address of {host}")
                access = await self.sessions.approach(host, port, hops, dns)
            except Unreachable as error:
                attempt.note_all(error.outcome)
                continue
            for address in addresses:
                if (address, port) == left.but:
                    continue
                if self.sessions.down.is_down((address, port)):
                    down.append((Peer(host, address), port, access))
                elif not await self._try(Peer(host, address), port, hops, access, attempt, left):
                    return
        for peer, port, access in down:
            if not await self._try(peer, port, hops, access, attempt, left):
                return

    async def _try(self, peer: Peer, port: int, hops: NextHops, access: Access, attempt: Attempt, left: _Left) -> bool:
        """Try an address, if there is still somebody to send to and something left; False when there is not."""
        if not attempt.pending or left.sessions == 0 or left.tries == 0:
            return False
        try:
            connection = await self.sessions.connect(peer, port, hops, access)
        except Unreachable as error:
            left.tries -= not error.no_way
            attempt.note_all(requiretls.unreachable(attempt.message, error), weak=error.no_way)
            return True
        left.tries -= 1
        left.sessions -= 1
        await self._use(connection, hops, attempt)
        return True

    async def _use(self, connection: SmtpConnection, hops: NextHops, attempt: Attempt) -> bool:
        """Send over a session to all who are pending. False when it was stale: an idle one that was gone already."""
        try:
            return await self._send(connection, hops, attempt)
        except BaseException:
            # Nobody knows of it any more, and no timer runs between its transactions.
            connection.abort("the attempt failed")
            raise

    async def _send(self, connection: SmtpConnection, hops: NextHops, attempt: Attempt) -> bool:
        reused = connection.transactions > 0
        peer = str(connection.peer)
        if refusal := requiretls.refused(attempt.message, connection.capabilities, peer):
            attempt.note_all(refusal)
            self.sessions.pool.give(hops.key, connection)
            return True
        try:
            await attempt.convert(connection.capabilities, self._threads)
            if self._signer is not None:
                await attempt.sign(self._signer)
        except OSError as error:
            attempt.note_all(Delayed("4.3.0", f"the content cannot be read: {error.strerror}"))
            self.sessions.pool.give(hops.key, connection)
            return True
        await attempt.fit(connection.capabilities, peer, self._threads)
        while attempt.pending:
            numbers = list(attempt.pending)
            offered = connection.capabilities
            transaction = MailTransaction(
                attempt.mail_command(offered),
                [attempt.rcpt_command(number, offered, hops.spam_suffix) for number in numbers],
                pipelining=offered.pipelining,
                reset=connection.needs_reset,
                lmtp=hops.access.lmtp,
            )
            broken = await connection.transact(transaction, attempt.message.message, self._threads)
            if reused and not transaction.heard:
                return False
            reused = False
            answered = list(zip(numbers, transaction.results, strict=True))
            without = _without_suffix(attempt, answered, hops.spam_suffix) if hops.spam_suffix else []
            if without:
                self._log_without_suffix(attempt, without, peer, hops.spam_suffix)
                answered = [one for one in answered if one[0] not in without]
            if not _settle(attempt, answered, transaction, broken, connection, hops.access.lmtp) and not without:
                break
        self.sessions.pool.give(hops.key, connection)
        return True

    def _log_without_suffix(self, attempt: Attempt, numbers: Sequence[int], peer: str, suffix: str) -> None:
        recipients = [str(attempt.deliveries[number].recipient.forward_path) for number in numbers]
        self.log.warn(
            "{peer} does not know {recipients} with {suffix}: spam goes to them without it",
            event="spam_suffix_unknown",
            transaction=attempt.message.id,
            peer=peer,
            recipients=recipients,
            suffix=suffix,
        )


def _without_suffix(attempt: Attempt, answered: Sequence[_Answered], spam_suffix: str) -> list[int]:
    """Give those whose address was not known with the suffix, which the next transaction leaves out. Failed, the
    message would be gone: spam is not reported."""
    without = []
    for number, result in answered:
        if result is None or result.command != "RCPT" or not attempt.has_suffix(number, spam_suffix):
            continue
        if result.reply.permanent and (not result.reply.status or result.reply.status.startswith("5.1.")):
            attempt.leave_suffix(number)
            without.append(number)
    return without


def _settle(
    attempt: Attempt,
    answered: Sequence[_Answered],
    transaction: MailTransaction,
    broken: str,
    connection: SmtpConnection,
    lmtp: bool,
) -> bool:
    """Turn the results into outcomes; True when the same session may take those who were one too many for it."""
    peer = str(connection.peer)
    detail = f" ({connection.tls or 'clear text'}{', converted to 7-bit MIME' if attempt.converted else ''})"
    # RFC 3461 5.2.2: who offers DSN reports from here on. LMTP delivers (RFC 2033 4.2).
    action: Literal["", "delivered", "relayed"] = "delivered" if lmtp else "relayed"
    if connection.capabilities.dsn:
        action = ""
    delivered, too_many = False, False
    for number, result in answered:
        if result is None:
            attempt.note(number, _broken(broken, peer, transaction, connection.ours))
            if transaction.content_complete:
                # It may have been taken. Another host at once would rather double it than a later try.
                attempt.pending.remove(number)
            continue
        outcome = outcome_of(result.reply, result.command, peer, detail)
        if isinstance(outcome, Delivered) and action:
            outcome = evolve(outcome, action=action)
        delivered = delivered or isinstance(outcome, Delivered)
        if isinstance(outcome, Delayed):
            attempt.note(number, outcome)
            too_many = too_many or is_too_many_recipients(result.reply, result.command)
        else:
            attempt.settle(number, outcome)
    return delivered and too_many


def _broken(reason: str, peer: str, transaction: MailTransaction, ours: bool) -> Delayed:
    if ours:
        return Delayed("4.3.0", reason, peer)
    # In the middle of the content it may be this message that the peer cannot bear: the others need not wait.
    return Delayed("4.4.2", reason, peer, site_wide=not transaction.content_begun)
