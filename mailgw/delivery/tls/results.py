"""What is told of TLS with MX hosts, for reports to their domains (RFC 8460)."""

from __future__ import annotations

from typing import Literal, Protocol

from mailgw.delivery.classify import Unreachable
from mailgw.delivery.connection import SmtpConnection
from mailgw.delivery.opening import Access
from mailgw.delivery.tls.tlsa import HostTlsa, presented
from mailgw.mail.address import ascii_domain
from mailgw.mail.tlsresult import NO_POLICY, AppliedPolicy, FailureType, TlsResult

# RFC 8461 4.1; RFC 8460 4.3 has no word for it.
_NOT_NAMED: tuple[FailureType, str] = ("validation-failure", "the MTA-STS policy does not name the host")


class TlsObserver(Protocol):
    def __call__(self, result: TlsResult) -> None:
        """Take note of it. Never fails, and takes no time to speak of: a session is being opened."""
        ...


def tls_result(
    domain: str,
    connection: SmtpConnection,
    access: Access,
    error: Unreachable | None = None,
    policy: AppliedPolicy = NO_POLICY,
    *,
    named: bool = True,
) -> TlsResult | None:
    """Say what a session that was opened, or broke with `error`, says about TLS; None when it says nothing.

    `policy` is the domain's MTA-STS policy, and `named` is whether it names the host. Where it is only tested, the
    session went on with what would have ended it.

    What never came to TLS says nothing: no connection, a greeting or EHLO that was refused, time that ran out (RFC 8460
    4.3.4 wants no report of what is transient).
    """
    if access.tls == "none" or domain.startswith("["):
        return None
    domain = ascii_domain(domain)  # RFC 8460 4.4 wants A-labels
    if access.tlsa is not None:
        policy = _by_dane(access.tlsa)
    found = _failure(connection, access, error, policy, named)
    if found is None:
        return None
    failure, reason = found
    if not failure:
        return TlsResult(domain, policy)
    return TlsResult(
        domain,
        policy,
        failure=failure,
        sending_ip=connection.local_address,
        mx_host=connection.peer.name,
        receiving_ip=connection.peer.address,
        helo=connection.announced,
        reason=reason,
    )


def _failure(
    connection: SmtpConnection, access: Access, error: Unreachable | None, policy: AppliedPolicy, named: bool
) -> tuple[FailureType | Literal[""], str] | None:
    """Give the failure with its reason; empty where there is none, and None where it never came to TLS."""
    if connection.tls:  # whatever was said under it
        if access.tlsa is not None:
            # Where none is of use, the session goes on with whoever it is (RFC 7672 2.2).
            return ("", "") if access.tlsa.use else ("tlsa-invalid", "none of the TLSA records can be used")
        if policy.type != "sts":
            return "", ""
        return (connection.tls_failure or "", connection.tls) if named else _NOT_NAMED
    if error is None:
        return "starttls-not-supported", ""
    if error.failure is None:
        return None
    if error.handshake:
        return error.failure, connection.lost.removeprefix(f"{connection.peer} ")
    return error.failure, str(error.outcome.reply or "")


def not_named(domain: str, policy: AppliedPolicy, host: str) -> TlsResult:
    """Say that an MTA-STS policy does not name an MX host."""
    failure, reason = _NOT_NAMED
    return TlsResult(domain, policy, failure=failure, mx_host=host, reason=reason)


def tlsa_unknown(domain: str, host: str, error: Unreachable) -> TlsResult:
    """Say that DNS did not tell what TLSA records the host has."""
    return TlsResult(
        ascii_domain(domain),
        AppliedPolicy("tlsa", domain=host),
        failure=error.failure or "dnssec-invalid",
        mx_host=host,
        reason=error.outcome.reason,
    )


def _by_dane(tlsa: HostTlsa) -> AppliedPolicy:
    # RFC 8460 1.1: the Policy Domain of DANE is the TLSA base domain.
    return AppliedPolicy("tlsa", tuple(map(presented, tlsa.published)), domain=tlsa.base)
