"""Call-ahead: asking the next hop of a routed domain whether it takes a recipient, before we do."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.delivery.answers import MAX_REASON, Answers, verification_of
from mailgw.delivery.classify import Peer, Unreachable
from mailgw.delivery.connection import SessionLost, SmtpConnection
from mailgw.delivery.sessions import NextHops, Sessions
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.mail.reply import Reply
from mailgw.routing.interface import Target, Verification
from mailgw.smtp.client import Capabilities, command

# Sessions for questions to one route at the same time.
CONCURRENCY = 10
# Questions under way, all routes together.
MAX_QUESTIONS = 1000
# A route where nobody answered is not asked for that long: whoever comes meanwhile need not wait to hear so.
TROUBLE_TIME = 10.0


class _NoAnswer(Exception):
    """The next hop spoke with us and did not say whether it takes the recipient. The text says why."""


class _TookTooLong(Exception):
    """No answer within the limit."""


@frozen
class _Trouble:
    reason: str
    until: float


class CallAhead:
    """Implements routing.interface.RecipientVerifier over the relay's sessions, so that connections are shared.

    A question takes `limit` seconds at most. Equal questions that come while one is under way share its answer.
    """

    log = Logger()

    def __init__(self, sessions: Sessions, clock: IReactorTime, limit: float) -> None:
        self._sessions = sessions
        self._clock = clock
        self._limit = limit
        self._answers = Answers(clock)
        self._asking: set[Deferred[None]] = set()
        self._waiting: dict[Target, list[Deferred[Verification]]] = {}
        self._slots: dict[str, DeferredSemaphore] = {}
        self._trouble: dict[str, _Trouble] = {}

    async def verify(self, target: Target) -> Verification:
        """Ask, where nothing fresh is known. See RecipientVerifier."""
        fresh = self._answers.fresh(target)
        if fresh is not None:
            return fresh
        trouble = self._trouble.get(target.destination.target)
        if trouble is not None and trouble.until > self._clock.seconds():
            return self._without_answer(target, trouble.reason)
        answer: Deferred[Verification] = Deferred()
        if target in self._waiting:
            self._waiting[target].append(answer)
        elif len(self._waiting) < MAX_QUESTIONS:
            self._waiting[target] = [answer]
            # On its own: it goes on for the others when the first who asked is gone.
            asking = Deferred.fromCoroutine(self._find_out(target))
            self._asking.add(asking)
            asking.addBoth(lambda _: self._asking.discard(asking))
        else:
            return self._without_answer(target, "too many recipients are asked about at the same time")
        return await answer

    def stop(self) -> None:
        """Give up what is asked now: whoever waits has no answer."""
        for asking in tuple(self._asking):
            asking.cancel()

    async def _find_out(self, target: Target) -> None:
        verification = await self._ask_in_time(target)
        for answer in self._waiting.pop(target):
            answer.callback(verification)

    async def _ask_in_time(self, target: Target) -> Verification:
        route = target.destination.target
        try:
            verification = await self._limited(self._ask_in_turn(route, target.mailbox))
        except _NoAnswer as error:
            return self._without_answer(target, str(error))
        except (Unreachable, SessionLost, _TookTooLong) as error:
            reason = str(error)[:MAX_REASON]
            self._note_trouble(route, reason)
            return self._without_answer(target, reason)
        except CancelledError:
            return self._without_answer(target, "the gateway stops")
        except Exception:
            self.log.failure(
                "asking {route} about <{recipient}> failed inside",
                event="call_ahead_failed",
                route=route,
                recipient=str(target.mailbox),
            )
            return self._without_answer(target, "an internal error; the log has the details")
        self._trouble.pop(route, None)
        self._answers.keep(target, verification)
        return verification

    def _limited(self, question: Coroutine[Any, Any, Verification]) -> Deferred[Verification]:
        def too_long(result: object, seconds: float) -> Failure:
            return Failure(_TookTooLong(f"no answer within {seconds:g} s"))

        asking: Deferred[Verification] = Deferred.fromCoroutine(question)
        return asking.addTimeout(self._limit, self._clock, too_long)

    def _without_answer(self, target: Target, reason: str) -> Verification:
        """What was good lately is good while nobody can say otherwise."""
        return Verification(True if self._answers.was_good(target) else None, "", reason)

    def _note_trouble(self, route: str, reason: str) -> None:
        self._trouble[route] = _Trouble(reason, self._clock.seconds() + TROUBLE_TIME)
        self.log.warn(
            "{route} cannot be asked about recipients: {reason}",
            event="call_ahead_failed",
            route=route,
            reason=reason,
        )

    # The question

    async def _ask_in_turn(self, route: str, mailbox: Mailbox) -> Verification:
        slots = self._slots.setdefault(route, DeferredSemaphore(CONCURRENCY))
        await slots.acquire()
        try:
            hops = await self._sessions.next_hops(route)
            while connection := self._sessions.pool.take(hops.key):
                try:
                    return await self._ask(connection, hops, mailbox)
                except SessionLost:
                    continue  # it was idle, and gone already
            return await self._ask_over_a_new_one(hops, mailbox)
        finally:
            slots.release()

    async def _ask_over_a_new_one(self, hops: NextHops, mailbox: Mailbox) -> Verification:
        """Go from address to address until one answers. Raises what the last one raised."""
        tries = self._sessions.settings.max_addresses
        trouble: Exception = _NoAnswer("there is no host to ask")
        for host, port in hops.hosts:
            try:
                addresses = await self._sessions.exchangers.addresses(host, hops.local.family)
                access = await self._sessions.approach(host, port, hops, self._sessions.lookup_time())
            except Unreachable as error:
                trouble = error
                continue
            for address in addresses:
                if tries == 0:
                    break
                try:
                    connection = await self._sessions.connect(Peer(host, address), port, hops, access)
                    return await self._ask(connection, hops, mailbox)
                except (Unreachable, SessionLost) as error:
                    trouble = error
                    tries -= not (isinstance(error, Unreachable) and error.no_way)
        raise trouble

    async def _ask(self, connection: SmtpConnection, hops: NextHops, mailbox: Mailbox) -> Verification:
        """Begin a transaction, hear what is said to RCPT, and end it. Raises SessionLost, _NoAnswer."""
        peer = str(connection.peer)
        offered = connection.capabilities
        commands = _commands(mailbox, offered)
        if commands is None:  # RFC 6531 3.2: mail for it could not be delivered either
            self._sessions.pool.give(hops.key, connection)
            return Verification(False, "5.6.7", f"{peer} takes no address that is not ASCII")
        connection.transactions += 1  # what becomes stale now was used once: see RelayAgent
        if connection.needs_reset:
            await _say(connection, b"RSET\r\n", "RSET")
        reply = await _say(connection, commands[0], "MAIL")
        begun = reply.code < 300
        if begun:
            reply = await _say(connection, commands[1], "RCPT")
        await self._end(connection, hops)
        if not begun:
            raise _NoAnswer(f"{peer} said to MAIL FROM:<>: {reply}"[:MAX_REASON])
        verification = verification_of(reply, peer)
        if verification.known is None:
            raise _NoAnswer(verification.reason)
        return verification

    async def _end(self, connection: SmtpConnection, hops: NextHops) -> None:
        """RSET, and keep the session for the next question or message. What was heard stands when it is lost now."""
        try:
            reset = await _say(connection, b"RSET\r\n", "RSET")
        except SessionLost:
            return
        connection.needs_reset = False
        if reset.code < 300:
            self._sessions.pool.give(hops.key, connection)
        else:
            connection.quit()


async def _say(connection: SmtpConnection, line: bytes, name: str) -> Reply:
    """Write a command and give its reply. Raises SessionLost, also for 421 (RFC 5321 3.8)."""
    reply = await connection.command(line, name)
    if reply.code == 421:
        connection.quit()
        raise SessionLost(f"{connection.peer} ended the session: {reply}")
    return reply


def _commands(mailbox: Mailbox, offered: Capabilities) -> tuple[bytes, bytes] | None:
    """MAIL and RCPT for a question; None when the peer cannot take such an address."""
    if mailbox.is_ascii:
        return b"MAIL FROM:<>\r\n", command(f"RCPT TO:<{mailbox}>")
    if offered.smtputf8:
        return b"MAIL FROM:<> SMTPUTF8\r\n", command(f"RCPT TO:<{mailbox}>")
    if not mailbox.local_part.isascii():
        return None
    return b"MAIL FROM:<>\r\n", command(f"RCPT TO:<{Mailbox(mailbox.local_part, ascii_domain(mailbox.domain))}>")
