"""Relay: mail to the outside, by MX or by a route."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from attrs import frozen
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from mailgw.config import schema
from mailgw.config.endpoints import parse_host
from mailgw.delivery.attempt import NO_CONNECTION, Attempt
from mailgw.delivery.classify import Peer, Unreachable, is_too_many_recipients, outcome_of
from mailgw.delivery.clienttls import ClientTls
from mailgw.delivery.connection import SmtpConnection
from mailgw.delivery.mx import MailExchangers
from mailgw.delivery.opening import Access, open_session
from mailgw.delivery.pool import ConnectionPool
from mailgw.dns.interface import Resolver
from mailgw.operation.threads import Threads
from mailgw.queue.item import Delayed, Delivered, Delivery, Destination, Outcome, QueuedMessage
from mailgw.smtp.client import MailTransaction

# Hosts that one attempt opens a session with, when the first takes a part or nothing for now.
MAX_SESSIONS = 2
# Hosts whose TLS is broken are spoken to in clear text for that long before TLS is tried again.
CLEAR_TEXT_TIME = 3600.0
MAX_CLEAR_TEXT = 1000
PORT = 25


class Reactor(IReactorTCP, IReactorTime):
    """What an agent needs of the reactor."""


@frozen
class NextHops:
    """Where a destination leads: hosts and ports in their order, and how to speak with them.

    Connections are shared among all that has the same `key`.
    """

    key: tuple[str, Access]
    hosts: tuple[tuple[str, int], ...]

    @property
    def access(self) -> Access:
        return self.key[1]


class RelayAgent:
    """Sends to `mx:DOMAIN` and `route:NAME`, over connections that are kept for the next message."""

    log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        resolver: Resolver,
        settings: schema.Relay,
        routes: Mapping[str, schema.Route],
        hostname: str,
        threads: Threads,
        random: random.Random,
        tls: ClientTls | None = None,
    ) -> None:
        self.max_recipients = settings.max_recipients
        self._reactor = reactor
        self._settings = settings
        self._routes = routes
        self._hostname = hostname
        self._threads = threads
        self._tls = tls or ClientTls()
        self._exchangers = MailExchangers(resolver, hostname, random)
        self._pool = ConnectionPool(settings)
        self._by_route: dict[str, tuple[schema.Route, NextHops]] = {}
        self._clear_text: dict[str, float] = {}

    async def close(self) -> None:
        """End all connections; what is under way is delayed."""
        await self._pool.close()

    async def site(self, destination: Destination) -> str:
        """`route:NAME`, or `mx:` and the sorted MX hosts."""
        kind, _, domain = destination.target.partition(":")
        if kind == "mx":
            try:
                return _site(await self._exchangers.hosts(domain))
            except Unreachable:
                pass  # `deliver` will say why
        return destination.target

    async def deliver(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Attempt it: over a connection that is open, else over new ones to one host after the other."""
        attempt = Attempt(message, deliveries)
        try:
            hops = await self._next_hops(deliveries[0].destination.target)
        except Unreachable as error:
            attempt.note_all(error.outcome)
            return attempt.outcomes
        while attempt.pending and (connection := self._pool.take(hops.key)):
            if await self._use(connection, hops, attempt):
                await self._try_hosts(hops, attempt, MAX_SESSIONS - 1, but=connection.peer.address)
                return attempt.outcomes
        await self._try_hosts(hops, attempt, MAX_SESSIONS)
        return attempt.outcomes

    async def _try_hosts(self, hops: NextHops, attempt: Attempt, sessions: int, but: str = "") -> None:
        """Go from address to address until nobody is pending, or enough was tried; not to the address `but`."""
        tries = self._settings.max_addresses
        for host, port in hops.hosts:
            if not attempt.pending:
                return
            try:
                addresses = await self._exchangers.addresses(host)
            except Unreachable as error:
                attempt.note_all(error.outcome)
                continue
            for address in addresses:
                if not attempt.pending or sessions == 0 or tries == 0:
                    return
                if address == but:
                    continue
                tries -= 1
                try:
                    connection = await self._connect(Peer(host, address), port, hops.access)
                except Unreachable as error:
                    attempt.note_all(error.outcome)
                    continue
                sessions -= 1
                await self._use(connection, hops, attempt)

    # Where to

    async def _next_hops(self, target: str) -> NextHops:
        kind, _, name = target.partition(":")
        if kind == "mx":
            names = await self._exchangers.hosts(name)
            return NextHops((_site(names), Access()), tuple((host, self._settings.port) for host in names))
        route = self._routes.get(name)
        if kind != "route" or route is None:
            reason = f"there is no [routes.{name}] in the configuration, which mail in the queue wants"
            raise Unreachable(Delayed("4.3.5", reason, site_wide=True))
        known = self._by_route.get(name)
        if known and known[0] is route:
            return known[1]
        if not route.hosts:
            raise Unreachable(Delayed("4.3.5", f"[routes.{name}] has no hosts", site_wide=True))
        password = await self._password(route) if route.username else ""
        hosts = tuple(parse_host(host, PORT) for host in route.hosts)
        hops = NextHops((target, Access(route.tls, route.username, password)), hosts)
        self._by_route[name] = (route, hops)
        return hops

    async def _password(self, route: schema.Route) -> str:
        try:
            return await self._threads.run(_read, route.password_file)
        except (OSError, UnicodeDecodeError) as error:
            reason = f"the password file of the route cannot be read: {error}"
            raise Unreachable(Delayed("4.3.5", reason, site_wide=True)) from error

    # Sessions

    async def _connect(self, peer: Peer, port: int, access: Access) -> SmtpConnection:
        """Open a session; in clear text when TLS was optional and is broken there. Raises Unreachable."""
        opportunistic = access.tls == "opportunistic"
        if opportunistic and self._clear_text.get(peer.address, 0.0) > self._reactor.seconds():
            return await self._open(peer, port, Access("none"))
        try:
            return await self._open(peer, port, access)
        except Unreachable as error:
            if not error.handshake or not opportunistic or access.username:
                raise
            reason = error.outcome.reason
        self.log.warn("clear text to {peer}: {reason}", event="relay_clear_text", peer=str(peer), reason=reason)
        if len(self._clear_text) >= MAX_CLEAR_TEXT:
            self._clear_text.clear()
        self._clear_text[peer.address] = self._reactor.seconds() + CLEAR_TEXT_TIME
        return await self._open(peer, port, Access("none"))

    async def _open(self, peer: Peer, port: int, access: Access) -> SmtpConnection:
        connection = SmtpConnection(self._reactor, self._settings, peer)
        endpoint = TCP6ClientEndpoint if ":" in peer.address else TCP4ClientEndpoint
        try:
            await endpoint(self._reactor, peer.address, port, timeout=self._settings.connect_timeout).connect(
                Factory.forProtocol(lambda: connection)
            )
        except (ConnectError, OSError) as error:
            reason = f"no connection to {peer} port {port}: {error}"
            raise Unreachable(Delayed(NO_CONNECTION, reason, str(peer), site_wide=True)) from error
        self._pool.add(connection)
        await open_session(connection, access, self._hostname, self._tls)
        self.log.info(
            "session with {peer}: {tls}", event="relay_session", peer=str(peer), tls=connection.tls or "clear text"
        )
        return connection

    async def _use(self, connection: SmtpConnection, hops: NextHops, attempt: Attempt) -> bool:
        """Send over a session to all who are pending. False when it was stale: an idle one that was gone already."""
        reused = connection.transactions > 0
        peer = str(connection.peer)
        await attempt.fit(connection.capabilities, peer, self._threads)
        while attempt.pending:
            numbers = list(attempt.pending)
            offered = connection.capabilities
            transaction = MailTransaction(
                attempt.mail_command(offered),
                [attempt.rcpt_command(number, offered) for number in numbers],
                pipelining=offered.pipelining,
                reset=connection.needs_reset,
            )
            broken = await connection.transact(transaction, attempt.message.message, self._threads)
            if reused and not transaction.heard:
                return False
            reused = False
            if not _settle(attempt, numbers, transaction, broken, connection):
                break
        self._pool.give(hops.key, connection)
        return True


def _settle(
    attempt: Attempt, numbers: Sequence[int], transaction: MailTransaction, broken: str, connection: SmtpConnection
) -> bool:
    """Turn the results into outcomes; True when the same session may take those who were one too many for it."""
    peer = str(connection.peer)
    detail = f" ({connection.tls or 'clear text'})"
    delivered, too_many = False, False
    for number, result in zip(numbers, transaction.results, strict=True):
        if result is None:
            attempt.note(number, _broken(broken, peer, transaction, connection.ours))
            if transaction.content_complete:
                # It may have been taken. Another host at once would rather double it than a later try.
                attempt.pending.remove(number)
            continue
        outcome = outcome_of(result.reply, result.command, peer, detail)
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


def _site(hosts: Sequence[str]) -> str:
    return "mx:" + ",".join(sorted(hosts))


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().strip("\r\n")
