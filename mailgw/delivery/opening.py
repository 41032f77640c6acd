"""Opening a session: greeting, EHLO, STARTTLS, AUTH."""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

from mailgw.delivery.classify import Unreachable, greeting_refused
from mailgw.delivery.connection import SessionLost, SmtpConnection
from mailgw.delivery.tls.client import ClientTls, TlsVersion, UnverifiedTls
from mailgw.delivery.tls.tlsa import HostTlsa, shown
from mailgw.mail.reply import Reply
from mailgw.queue.item import Delayed
from mailgw.smtp.client import Capabilities, auth_login, auth_plain, command

TlsPolicy = Literal["none", "opportunistic", "required", "verified", "implicit"]
Basis = Literal["", "dane", "mta-sts", "policy", "route", "requiretls"]
_WAYS: dict[TlsPolicy, str] = {
    "none": "clear text",
    "opportunistic": "TLS where it is offered",
    "required": "TLS, whatever the certificate",
    "verified": "TLS with a certificate for its name",
    "implicit": "TLS from the first byte, with a certificate for its name",
}
_DEMANDS: dict[Basis, str] = {
    "": "our configuration demands",
    "dane": "the host's TLSA records demand (DANE)",
    "mta-sts": "the domain's MTA-STS policy demands",
    "policy": "[tls_policies] demands",
    "route": "the route demands",
    "requiretls": "the message demands (REQUIRETLS)",
}


@frozen
class Access:
    """How to speak with a next hop. `password` is not shown."""

    tls: TlsPolicy = "opportunistic"
    username: str = ""
    password: str = ""
    lmtp: bool = False
    basis: Basis = ""
    """Who says so: TLSA records, the recipient domain's MTA-STS policy, [tls_policies], a route, the message's
    REQUIRETLS; empty for what is usual."""
    dane: bool = True
    """Whether TLSA records of the host may say more; [tls_policies] can forbid it for a domain."""
    minimum_version: TlsVersion = "1.2"

    tlsa: HostTlsa | None = None
    """What the host has to prove by them."""
    domains: tuple[str, ...] = ()
    """Names of the recipient domain that it may have instead of its own, then."""

    def towards_mx(self, proven: tuple[str, ...]) -> Access:
        """The same for MX hosts, where `proven` are names of the domain that DNSSEC vouches for.

        If it vouches for none, TLSA records prove that a host is itself, not that it is the domain's: they are good
        instead of no proof (RFC 7672 2.2.1), not instead of a certificate that is demanded (RFC 8461 2).
        """
        return evolve(self, dane=False) if self.tls == "verified" and not proven else self

    def by_dane(self, tlsa: HostTlsa, domains: tuple[str, ...]) -> Access:
        """The same with a host that has TLSA records. Where none is of use, who wants more than TLS gets it still."""
        if not tlsa.use and self.tls == "verified":
            return self
        return evolve(self, tls="required", basis="dane", tlsa=tlsa, domains=domains)

    def __repr__(self) -> str:
        tls = f"tls={self.tls!r}, basis={self.basis!r}, dane={self.dane!r}"
        return f"Access({tls}, username={self.username!r}, lmtp={self.lmtp!r})"

    @property
    def way(self) -> str:
        """In words, and who wants it so."""
        use = self.tlsa.use if self.tlsa else ()
        way = f"TLS with a certificate that fits its TLSA records ({shown(use)})" if use else _WAYS[self.tls]
        return f"{way}, {self.demand}" if self.basis and self.tls != "opportunistic" else way

    @property
    def common(self) -> bool:
        """Whether TLS that is not as demanded is in the way of everybody's mail to the host; else of this domain's, or
        this message's."""
        return self.basis not in ("mta-sts", "requiretls")

    @property
    def demand(self) -> str:
        """Who wants the TLS, for the end of a sentence: 'which ...'."""
        return f"which {_DEMANDS[self.basis]}"


async def open_session(connection: SmtpConnection, access: Access, hostname: str, tls: ClientTls) -> None:
    """Make a fresh connection ready for transactions. Raises Unreachable; the connection is ended then."""
    try:
        if access.tls == "implicit":
            await _handshake(connection, access, tls)
        greeting = await connection.greeting()
        connection.announced = greeting.lines[0].partition(" ")[0]
        if greeting.code != 220:
            raise Unreachable(greeting_refused(greeting, str(connection.peer)))
        await _hello(connection, access, hostname)
        if access.tls not in ("none", "implicit"):
            await _start_tls(connection, access, hostname, tls)
        if access.username:
            await _authenticate(connection, access)
    except SessionLost as error:
        raise Unreachable(Delayed("4.4.2", str(error), str(connection.peer), site_wide=True)) from error
    except Unreachable:
        connection.quit()
        raise
    except BaseException:
        connection.abort("the attempt failed")
        raise


async def _hello(connection: SmtpConnection, access: Access, hostname: str) -> None:
    verb = "LHLO" if access.lmtp else "EHLO"  # RFC 2033 4.1
    reply = await connection.command(command(f"{verb} {hostname}"), verb)
    if reply.code < 300:
        connection.capabilities = Capabilities.parse(reply)
        return
    # RFC 5321 3.2: an old server, without extensions. LMTP has no older form.
    if reply.permanent and reply.code not in (521, 554) and not access.lmtp:
        reply = await connection.command(command(f"HELO {hostname}"), "HELO")
        if reply.code < 300:
            return
    raise Unreachable(greeting_refused(reply, str(connection.peer)))


async def _start_tls(connection: SmtpConnection, access: Access, hostname: str, tls: ClientTls) -> None:
    if not connection.capabilities.starttls:
        if access.tls != "opportunistic":
            raise _no_tls(connection, access, "it does not offer STARTTLS")
        return
    reply = await connection.start_tls_by_command()
    if reply.code != 220:
        if access.tls != "opportunistic":
            raise _no_tls(connection, access, "it refused STARTTLS", reply)
        return  # RFC 3207 4.1 lets the client go on
    await _handshake(connection, access, tls)
    await _hello(connection, access, hostname)


async def _handshake(connection: SmtpConnection, access: Access, tls: ClientTls) -> None:
    try:
        await connection.start_tls(_securing(connection.peer.name, access, tls))
    except SessionLost as error:
        demand = "" if access.tls == "opportunistic" else f" (TLS is {access.tls}, {access.demand})"
        outcome = Delayed("4.7.5", f"no TLS: {error}{demand}", str(connection.peer), site_wide=access.common)
        failure = connection.tls_failure or "validation-failure"
        raise Unreachable(
            outcome, failure=failure, handshake=True, insecure=connection.tls_failure is not None
        ) from error


def _securing(name: str, access: Access, tls: ClientTls) -> UnverifiedTls:
    if access.tlsa is not None:
        return tls.proven(access.tlsa, access.domains, access.minimum_version)
    make = tls.verified if access.tls in ("verified", "implicit") else tls.unverified
    return make(name, access.minimum_version)


async def _authenticate(connection: SmtpConnection, access: Access) -> None:
    if not connection.tls:
        raise Unreachable(_lacks(connection, "it offers no TLS, and a password goes nowhere in clear text"))
    offered = connection.capabilities.auth
    if "PLAIN" in offered:
        lines: tuple[bytes, ...] = (auth_plain(access.username, access.password),)
    elif "LOGIN" in offered:
        lines = auth_login(access.username, access.password)
    else:
        others = f", but {', '.join(sorted(offered))}" if offered else ""
        raise Unreachable(_lacks(connection, f"it offers neither AUTH PLAIN nor LOGIN{others}"))
    for line in lines:
        reply = await connection.command(line, "AUTH")
        if reply.code != 334:
            break
    if reply.code != 235:
        raise Unreachable(_lacks(connection, "it did not take our user name and password", reply))


def _no_tls(connection: SmtpConnection, access: Access, reason: str, reply: Reply | None = None) -> Unreachable:
    outcome = evolve(_lacks(connection, f"{reason}, {access.demand}", reply), site_wide=access.common)
    return Unreachable(outcome, failure="starttls-not-supported", insecure=True)


def _lacks(connection: SmtpConnection, reason: str, reply: Reply | None = None) -> Delayed:
    """What is wanted cannot be had. It may be mended, so it is never for good."""
    peer = str(connection.peer)
    return Delayed("4.7.4", f"no session with {peer}: {reason}", peer, reply, site_wide=True)
