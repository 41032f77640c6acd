"""Listeners: they take connections, count them, and start a session for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from mailgw.config.schema import Limits, Listener
from mailgw.mail.transaction import Client
from mailgw.operation.outbox import Outbox
from mailgw.reception.intake import Intake, IntakeSettings
from mailgw.reception.link import Link
from mailgw.reception.networks import Networks
from mailgw.reception.preface import ProxyPreface
from mailgw.reception.session import Session, SessionSettings
from mailgw.reception.sessions import Sessions
from mailgw.smtp import sasl
from mailgw.smtp.extensions import Announced
from mailgw.smtp.proxy import ProxyHeader
from mailgw.smtp.server import Extensions, ServerConnection, ServerLimits


class ListenerFactory(ServerFactory):
    """Makes a link and a session for each connection to one listener."""

    log: ClassVar[Logger] = Logger()
    noisy = False

    def __init__(
        self,
        listener: Listener,
        session_settings: SessionSettings,
        intake_settings: IntakeSettings,
        sessions: Sessions,
        clock: IReactorTime,
        new_id: Callable[[], str],
    ) -> None:
        self._listener = listener
        self._session_settings = evolve(session_settings, normalised=Networks(listener.normalise_networks))
        self._intake_settings = intake_settings
        self._guard = session_settings.guard
        self._sessions = sessions
        self._clock = clock
        self._outbox = Outbox(clock)
        self._new_id = new_id
        self._server_limits = server_limits(session_settings.limits)
        self._extensions = extensions(listener, session_settings)
        self._trusted_extensions = evolve(self._extensions, xclient=True)
        self._balancers = Networks(listener.proxy_networks)
        self._proxies = Networks(listener.xclient_networks)

    def buildProtocol(self, addr: Any) -> Link | ProxyPreface:
        address = plain_address(addr.host)
        if address in self._balancers:
            timeout = self._session_settings.timeouts.handshake
            return ProxyPreface(address, partial(self._proxied, address), self._clock, timeout)
        return self._link(address)

    def _proxied(self, balancer: str, header: ProxyHeader, ahead: bool) -> Link:
        link = self._link(header.source or balancer, header)
        # With implicit TLS it is the handshake, whose turn it is.
        link.ahead = ahead and not self._session_settings.implicit_tls
        return link

    def _link(self, address: str, header: ProxyHeader | None = None) -> Link:
        """Make the link for a client. `header` came on a connection from a balancer."""
        connection = ServerConnection(
            self._session_settings.hostname,
            self._server_limits,
            self._trusted_extensions if address in self._proxies else self._extensions,
            lmtp=self._listener.kind == "lmtp",
        )
        return Link(
            connection,
            self._session_settings.timeouts,
            self._clock,
            self._outbox,
            lambda link: self._connected(link, connection, header),
        )

    def _connected(self, link: Link, connection: ServerConnection, header: ProxyHeader | None) -> None:
        if self._sessions.stopping:
            link.close()
            return
        peer, host = link.tcp.getPeer(), link.tcp.getHost()
        client = Client(
            session_id=self._new_id(),
            service=self._listener.kind,
            address=plain_address(peer.host),
            port=peer.port,
            local=f"{plain_address(host.host)}:{host.port}",
        )
        if header is not None and header.source:
            client = evolve(
                client,
                address=header.source,
                port=header.source_port,
                local=f"{header.destination}:{header.destination_port}",
            )
        refusal = self._guard.admit(client, self._sessions.make_room)
        if self._guard.under_load:
            self._sessions.hurry()
        if refusal is not None:
            if not self._session_settings.implicit_tls:
                link.send(refusal)
            link.close()
            return
        self.log.debug(
            "session {session} from {address} to {local}",
            event="connected",
            session=client.session_id,
            address=client.address,
            local=client.local,
        )
        intake = Intake(client, link, self._intake_settings)
        session = Session(link, connection, client, self._session_settings, intake, self._clock)
        done = Deferred.fromCoroutine(session.run())
        self._sessions.add(link, done)
        done.addBoth(self._ended, link, session)

    def _ended(self, result: Any, link: Link, session: Session) -> None:
        self._sessions.remove(link)
        self._guard.leave(session.client)


def server_limits(limits: Limits) -> ServerLimits:
    """What the SMTP core itself keeps."""
    return ServerLimits(
        command_line=limits.command_line,
        auth_line=limits.auth_line,
        data_line=limits.data_line,
        message_size=limits.message_size,
    )


def extensions(listener: Listener, settings: SessionSettings) -> Extensions:
    """What a listener offers. AUTH is for submission; the core shows it and REQUIRETLS under TLS only."""
    without = listener.without
    return Extensions(
        size=None if "SIZE" in without else settings.limits.message_size,
        pipelining="PIPELINING" not in without,
        eightbitmime="8BITMIME" not in without,
        smtputf8="SMTPUTF8" not in without and "8BITMIME" not in without,  # RFC 6531 3.1: not without 8BITMIME
        enhancedstatuscodes="ENHANCEDSTATUSCODES" not in without,
        starttls=listener.tls == "starttls" and settings.make_tls is not None,
        auth=sasl.MECHANISMS if listener.kind == "submission" else (),
        chunking="CHUNKING" not in without,
        limits=None if "LIMITS" in without else announced(settings.limits),
        dsn="DSN" not in without,
        requiretls="REQUIRETLS" not in without and settings.make_tls is not None,
    )


def announced(limits: Limits) -> Announced:
    """What LIMITS says."""
    return Announced(limits.recipients, limits.recipients_authenticated, limits.transactions)


def plain_address(address: str) -> str:
    """An IPv4 address that came in on an IPv6 socket is an IPv4 address (RFC 4291 2.5.5.2)."""
    return address.removeprefix("::ffff:") if "." in address else address
