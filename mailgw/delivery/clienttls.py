"""TLS towards next hops: TLS 1.2 at least, with or without verification of the certificate."""

from __future__ import annotations

import ipaddress

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

# Making verified options reads the platform's certificates, which takes milliseconds: they are kept by name.
MAX_VERIFIED = 100


@implementer(IOpenSSLClientConnectionCreator)
class UnverifiedTls:
    """Opportunistic security (RFC 7435): any certificate will do, since the other choice is clear text."""

    def __init__(self, options: CertificateOptions, name: str) -> None:
        self._options = options
        self._name = name

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self._options.clientConnectionForTLS(tlsProtocol)
        if not _is_address(self._name):  # RFC 6066 3: server_name holds no address
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        return connection


class ClientTls:
    """Makes what `startTLS` takes for a host. `trust_root` is for tests: who signs, when it is not the platform."""

    def __init__(self, trust_root: Certificate | None = None) -> None:
        self._trust_root = trust_root
        self._any: CertificateOptions | None = None
        self._verified: dict[str, IOpenSSLClientConnectionCreator] = {}

    def unverified(self, name: str) -> IOpenSSLClientConnectionCreator:
        """TLS with whoever is there; `name` goes into SNI."""
        if self._any is None:
            self._any = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2)
        return UnverifiedTls(self._any, name)

    def verified(self, name: str) -> IOpenSSLClientConnectionCreator:
        """TLS with a host that proves to be `name` (a host name or an address; RFC 9525)."""
        options = self._verified.get(name)
        if options is None:
            if len(self._verified) >= MAX_VERIFIED:
                self._verified.clear()
            options = optionsForClientTLS(
                name,
                trustRoot=self._trust_root,
                extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2},
            )
            self._verified[name] = options
        return options


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
