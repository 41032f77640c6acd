"""Sessions with next hops: where a destination leads, and connections to it, new ones and those that are kept."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from attrs import evolve, frozen
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IReactorUNIX, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from mailgw.config import schema
from mailgw.config.endpoints import UNIX, is_socket, parse_next_hop
from mailgw.delivery.attempt import NO_CONNECTION
from mailgw.delivery.classify import Peer, Unreachable
from mailgw.delivery.connection import SmtpConnection
from mailgw.delivery.downhosts import DownHosts
from mailgw.delivery.localend import LocalEnd, has_no_way
from mailgw.delivery.lookuptime import LookupTime
from mailgw.delivery.mx import MailExchangers
from mailgw.delivery.opening import Access, open_session
from mailgw.delivery.pool import ConnectionPool
from mailgw.delivery.storesocket import socket_trouble
from mailgw.delivery.tls.choice import AccessChooser, Choice
from mailgw.delivery.tls.client import ClientTls
from mailgw.delivery.tls.results import TlsObserver, not_named, tls_result, tlsa_unknown
from mailgw.delivery.tls.tlsa_lookup import TlsaLookup
from mailgw.dns.interface import Resolver
from mailgw.mail.tlsresult import NO_POLICY, AppliedPolicy
from mailgw.operation.outbox import Outbox
from mailgw.operation.threads import Threads
from mailgw.queue.item import ANY_TLS, Delayed

# Hosts whose TLS is broken are spoken to in clear text for that long before TLS is tried again.
CLEAR_TEXT_TIME = 3600.0
MAX_CLEAR_TEXT = 1000
PORT = 25
LMTP_PORT = 24


class Reactor(IReactorTCP, IReactorUNIX, IReactorTime):
    """What sessions need of the reactor."""


@frozen
class NextHops:
    """Where a destination leads: hosts and ports in their order, and how to speak with them.

    Connections are shared among all that has the same `key`.
    """

    key: tuple[str, Access]
    hosts: tuple[tuple[str, int], ...]
    local: LocalEnd
    domain: str = ""
    """The recipient domain whose MX hosts they are, which is told what comes of TLS; empty for a route, and where it is
    held to no policy."""
    choice: Choice | None = None
    """What was chosen by the policies of that domain."""
    proven: tuple[str, ...] = ()
    """Names of that domain, if DNSSEC vouches that these are its MX hosts; else empty."""
    spam_suffix: str = ""
    """What stands behind the local part of a recipient of spam there."""

    @property
    def policy(self) -> AppliedPolicy:
        """The MTA-STS policy of that domain, also one that is only tested."""
        return self.choice.policy if self.choice is not None else NO_POLICY

    @property
    def problem(self) -> str:
        """Why its present MTA-STS policy is not known, if it may have one."""
        problem = self.choice.standing.problem if self.choice is not None else None
        return problem.reason if problem is not None else ""

    @property
    def access(self) -> Access:
        return self.key[1]

    def spoken_to_by(self, access: Access) -> NextHops:
        """The same hosts, spoken to in another way: over connections of their own."""
        return self if access == self.access else evolve(self, key=(self.key[0], access))


class Sessions:
    """Opens sessions and keeps them for the next message. Mail and questions about recipients share them."""

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
        chooser: AccessChooser | None = None,
        observer: TlsObserver | None = None,
    ) -> None:
        """`chooser` says how to speak with MX hosts; `observer` is told what comes of TLS with them."""
        self.settings = settings
        self.exchangers = MailExchangers(resolver, hostname, random)
        self.pool = ConnectionPool(settings)
        self.down = DownHosts(reactor)
        self._reactor = reactor
        self._outbox = Outbox(reactor)
        self._routes = routes
        self._hostname = hostname
        self._local = LocalEnd.of(hostname, settings)
        self._threads = threads
        self._tls = tls or ClientTls()
        self._tlsa = TlsaLookup(resolver)
        self._by_route: dict[str, tuple[schema.Route, NextHops]] = {}
        self._chooser = chooser or AccessChooser({})
        self._clear_text: dict[tuple[str, int], float] = {}
        self._observer = observer

    def become(
        self,
        settings: schema.Relay,
        routes: Mapping[str, schema.Route],
        policies: Mapping[str, schema.TlsPolicy],
    ) -> None:
        """Go on by another configuration. What is under way ends as it began; its sessions serve no other message."""
        self._chooser.become(policies)
        if (settings, routes) == (self.settings, self._routes):
            return
        self.settings, self._routes = settings, routes
        self._local = LocalEnd.of(self._hostname, settings)
        self._by_route.clear()
        self.pool.renew(settings)

    def lookup_time(self) -> LookupTime:
        """What a new attempt may wait for DNS."""
        return LookupTime(self._reactor)

    async def next_hops(self, target: str, *, held: bool = True) -> NextHops:
        """Find out where `mx:DOMAIN` or `route:NAME` leads. Raises Unreachable.

        What is not `held` to the domain's policies (`TLS-Required: No`) may go to any of its hosts.
        """
        kind, _, name = target.partition(":")
        if kind in ("mx", ANY_TLS):
            found = await self.exchangers.hosts(name)
            held = held and kind == "mx"
            choice = await self._chooser.choose(name, found.names, held=held)
            # Of those that may be tried: a connection to another may not be taken.
            key = (site_of(choice.hosts), choice.access.towards_mx(found.proven))
            hosts = tuple((host, self.settings.port) for host in choice.hosts)
            return NextHops(key, hosts, self._local, name if held else "", choice, found.proven)
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
        lmtp = route.protocol == "lmtp"
        hosts = tuple(parse_next_hop(host, LMTP_PORT if lmtp else PORT) for host in route.hosts)
        # What a route says of certificates is kept to; where it asks for none, TLSA records can only add.
        dane = route.tls in ("opportunistic", "required") and not lmtp
        access = Access(route.tls, route.username, password, lmtp, "route", dane)
        local = LocalEnd.of(self._hostname, self.settings, route)
        hops = NextHops((target, access), hosts, local, spam_suffix=route.spam_suffix)
        self._by_route[name] = (route, hops)
        return hops

    async def site(self, target: str) -> str:
        """Name what is behind a target: `route:NAME`, or for `mx:DOMAIN` the sorted MX hosts, apart from others' where
        the domain has them spoken to in another way. The target itself when that cannot be found out now.
        """
        kind, _, domain = target.partition(":")
        if kind not in ("mx", ANY_TLS):
            return target
        try:
            hosts = (await self.exchangers.hosts(domain)).names
            if kind == ANY_TLS:
                return f"{site_of(hosts)};any tls"
            choice = await self._chooser.choose(domain, hosts, wait=False)
        except Unreachable:
            return target  # `next_hops` will say why
        tls, dane = choice.access.tls, choice.access.dane
        ways = (() if tls == "opportunistic" else (tls,)) + (() if dane else ("without dane",))
        return ";".join((site_of(choice.hosts), *ways))

    async def _password(self, route: schema.Route) -> str:
        try:
            return await self._threads.run(_read, route.password_file)
        except (OSError, UnicodeDecodeError) as error:
            reason = f"the password file of the route cannot be read: {error}"
            raise Unreachable(Delayed("4.3.5", reason, site_wide=True)) from error

    async def access(self, host: str, port: int, hops: NextHops, dns: LookupTime) -> Access:
        """Give how to speak with a host once its TLSA records are known, and of a smarthost its MTA-STS policy. Raises
        Unreachable."""
        access = hops.access
        if is_socket(host):
            return evolve(access, tls="none")
        if access.basis == "route" and not access.lmtp and access.tls in ("opportunistic", "required"):
            access = await dns.count(self._chooser.of_smarthost(host, access))
        if not self.settings.dane or not access.dane or access.tls in ("none", "implicit"):
            return access
        tlsa = await dns.spend(self._tlsa.find(host, port), f"whether {host} has TLSA records")
        return access if tlsa is None else access.by_dane(tlsa, hops.proven)

    async def approach(self, host: str, port: int, hops: NextHops, dns: LookupTime) -> Access:
        """The same for mail that is to go there: where it cannot, that is told. It holds for all its addresses.

        Raises Unreachable.
        """
        try:
            return await self.access(host, port, hops, dns)
        except Unreachable as error:
            if self._observer is not None and hops.domain and error.failure:
                self._observer(tlsa_unknown(hops.domain, host, error))
            self._left_by_dane(error, host, hops.domain)
            raise

    async def connect(self, peer: Peer, port: int, hops: NextHops, access: Access) -> SmtpConnection:
        """Open a session with a host of `hops`, by what `approach` says; in clear text when TLS was optional and is
        broken there. Raises Unreachable.
        """
        observed = bool(hops.domain)
        opportunistic = access.tls == "opportunistic"
        server = (peer.address, port)  # behind another port of the address TLS may be sound
        if opportunistic and self._clear_text.get(server, 0.0) > self._reactor.seconds():
            return await self._open(peer, port, evolve(access, tls="none"), hops)
        try:
            return await self._open(peer, port, access, hops, observed=observed)
        except Unreachable as error:
            if access.username:
                self._by_route.clear()  # perhaps the password is wrong: the next attempt reads its file anew
            if access.basis == "dane" and error.failure:
                self._left_by_dane(error, str(peer), hops.domain)
            if not error.handshake or not opportunistic or access.username:
                raise
            reason = error.outcome.reason
        self.log.warn("clear text to {peer}: {reason}", event="relay_clear_text", peer=str(peer), reason=reason)
        if len(self._clear_text) >= MAX_CLEAR_TEXT:
            self._clear_text.clear()
        self._clear_text[server] = self._reactor.seconds() + CLEAR_TEXT_TIME
        return await self._open(peer, port, evolve(access, tls="none"), hops)

    def _left_by_dane(self, error: Unreachable, peer: str, domain: str) -> None:
        """Tell the log that the host gets no mail, which the next one may hide, and who waits what can be done."""
        self.log.warn("no mail to {peer}: {reason}", event="dane_failed", peer=peer, reason=error.outcome.reason)
        if domain:
            way_out = f'to send nonetheless: [tls_policies."{domain}"] ignore = ["dane"]'
            error.outcome = evolve(error.outcome, reason=f"{error.outcome.reason}; {way_out}")

    async def _open(
        self, peer: Peer, port: int, access: Access, hops: NextHops, *, observed: bool = False
    ) -> SmtpConnection:
        local = hops.local
        connection = SmtpConnection(self._reactor, self._outbox, self.settings, peer)
        connection.port = port
        source = "" if is_socket(peer.address) else local.source(peer.address)
        try:
            await self._endpoint(peer.address, port, source).connect(Factory.forProtocol(lambda: connection))
        except (ConnectError, OSError) as error:
            if is_socket(peer.address):
                reason = f"no connection to {peer}: {socket_trouble(error)}"
            else:
                reason = f"no connection to {peer} port {port}{' from ' if source else ''}{source}: {error}"
            outcome = Delayed(NO_CONNECTION, reason, str(peer), site_wide=True)
            no_way = has_no_way(error)
            if not no_way:
                self.down.down((peer.address, port), reason)
            raise Unreachable(outcome, no_way=no_way) from error
        self.down.up((peer.address, port))
        self.pool.add(connection)
        try:
            await open_session(connection, access, local.name, self._tls)
        except Unreachable as error:
            if observed:
                self._observe(hops, connection, access, error)
            raise
        if observed:
            self._observe(hops, connection, access)
        self.log.info(
            "session with {peer}: {tls}",
            event="relay_session",
            peer=str(peer),
            tls=connection.tls or "clear text",
            policy=access.basis,
        )
        return connection

    def _endpoint(self, address: str, port: int, source: str) -> IStreamClientEndpoint:
        timeout = self.settings.connect_timeout
        if is_socket(address):
            return UNIXClientEndpoint(self._reactor, address.removeprefix(UNIX), timeout)
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        return kind(self._reactor, address, port, timeout, (source, 0) if source else None)

    def _observe(
        self, hops: NextHops, connection: SmtpConnection, access: Access, error: Unreachable | None = None
    ) -> None:
        if self._observer is None or hops.choice is None:
            return
        host, policy = connection.peer.name, hops.policy
        named = host not in hops.choice.unnamed
        result = tls_result(hops.domain, connection, access, error, policy, named=named)
        if result is not None:
            self._observer(result)
            for passed in hops.choice.passed_over(host):
                self._observer(not_named(result.domain, policy, passed))


def site_of(hosts: Sequence[str]) -> str:
    """Name the site of a domain by its MX hosts, so that all domains of a provider share it."""
    return "mx:" + ",".join(sorted(hosts))


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().strip("\r\n")
