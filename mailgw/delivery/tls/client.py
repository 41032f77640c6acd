"""TLS towards next hops: TLS 1.2 at least, with or without verification of the certificate."""

from __future__ import annotations

from typing import Any, Literal

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, platformTrust, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from mailgw.delivery.tls.dane import UNREADABLE, NotAuthentic, authenticate
from mailgw.delivery.tls.tlsa import HostTlsa, presented, shown
from mailgw.mail.tlsresult import FailureType
from mailgw.operation.peer_certificate import flaw_of, is_address

TlsVersion = Literal["1.2", "1.3"]
_MINIMUM = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}


@implementer(IOpenSSLClientConnectionCreator)
class UnverifiedTls:
    """Opportunistic security (RFC 7435): any certificate will do, since the other choice is clear text.

    One for each handshake: `failure` and `reason` say what was wrong with the peer's certificate, once it failed.
    """

    strict = True
    """Whether `failure` ended the session."""
    shareable = True
    """Whether the session may be used for all that this host takes mail for."""

    def __init__(self, options: CertificateOptions, name: str) -> None:
        self.failure: FailureType | None = None
        self.reason = ""
        self.name = name
        self.options = options

    @property
    def proof(self) -> str:
        """What the session may be said to be, once the handshake is done."""
        return "certificate not verified"

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self.options.clientConnectionForTLS(tlsProtocol)
        if not is_address(self.name):  # RFC 6066 3: server_name holds no address
            connection.set_tlsext_host_name(self.name.encode("ascii"))
        return connection

    def confirm(self, connection: SSL.Connection) -> bool:
        """Look at the peer once the handshake is done, before anything is said: is it who it is to be?"""
        return True


class VerifiedTls(UnverifiedTls):
    """The peer proves to be `name` (a host name or an address) by a certificate that we trust."""

    @property
    def proof(self) -> str:
        return "certificate verified"

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = super().clientConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(self, connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, ok: int) -> bool:
        flaw = flaw_of(certificate, self.name, number, depth, ok)
        if flaw is not None:
            self.failure, self.reason = flaw.kind, flaw.words
        return flaw is None


class WatchedTls(VerifiedTls):
    """Goes on whatever the certificate is, and says what is wrong with it: for the log, and for the reports to domains
    whose MTA-STS policy is only tested (RFC 8461 5)."""

    strict = False

    @property
    def proof(self) -> str:
        return f"certificate not verified: it {self.reason}" if self.failure else "certificate verified"

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = super().clientConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_PEER, self._watch)
        return connection

    def _watch(self, *certificate: Any) -> bool:
        if self.failure is None:
            self._verify(*certificate)
        return True


class DaneTls(UnverifiedTls):
    """The peer proves by its certificate to be who its TLSA records say: see `dane.authenticate`.

    `domains` are names of the recipient domain, which it may have too (RFC 7672 3.2.2).
    """

    def __init__(self, options: CertificateOptions, tlsa: HostTlsa, domains: tuple[str, ...]) -> None:
        super().__init__(options, tlsa.base)
        self._tlsa = tlsa
        self._domains = domains
        self._by = ""

    @property
    def proof(self) -> str:
        return self._by or "certificate not verified"

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = super().clientConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_NONE)  # by whom we trust otherwise: that is not asked
        return connection

    def confirm(self, connection: SSL.Connection) -> bool:
        try:
            chain = connection.get_peer_cert_chain(as_cryptography=True) or []
            proof = authenticate(self._tlsa.use, chain, (*self._tlsa.names, *self._domains))
        except NotAuthentic as error:
            self.failure, self.reason = error.failure, f"{error} (TLSA of {self.name}: {shown(self._tlsa.use)})"
            return False
        except UNREADABLE as error:
            self.failure, self.reason = "validation-failure", f"cannot be read: {error}"
            return False
        self._by = f"certificate proven by TLSA {presented(proof.record)[:5]} of {self.name}"
        self.shareable = proof.name not in self._domains
        return True


class ClientTls:
    """Makes what `startTLS` takes for a host. `trust_root` says who signs, where it is not the platform."""

    def __init__(self, trust_root: Any = None) -> None:
        self._trust_root = trust_root
        self._options: dict[TlsVersion, CertificateOptions] = {}

    def unverified(self, name: str, minimum: TlsVersion = "1.2") -> WatchedTls:
        """TLS with whoever is there; `name` goes into SNI."""
        return WatchedTls(self._trusting(minimum), name)

    def proven(self, tlsa: HostTlsa, domains: tuple[str, ...], minimum: TlsVersion = "1.2") -> UnverifiedTls:
        """TLS with a host that proves to be who its records say; with whoever is there when none is of use."""
        return DaneTls(self._trusting(minimum), tlsa, domains) if tlsa.use else self.unverified(tlsa.base, minimum)

    def verified(self, name: str, minimum: TlsVersion = "1.2") -> VerifiedTls:
        """TLS with a host that proves to be `name`."""
        return VerifiedTls(self._trusting(minimum), name)

    def _trusting(self, minimum: TlsVersion) -> CertificateOptions:
        options = self._options.get(minimum)
        if options is None:  # reading the platform's certificates takes milliseconds: once is enough
            trust = self._trust_root or platformTrust()
            options = CertificateOptions(trustRoot=trust, raiseMinimumTo=_MINIMUM[minimum])
            self._options[minimum] = options
        return options


class TrustError(Exception):
    """A file of certificates cannot be used; the text says why."""


def read_trust(path: str) -> Any:
    """Read the certificates (PEM) of authorities, for a trust root; None, the platform's, for no path. Raises
    TrustError."""
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            certificates = x509.load_pem_x509_certificates(file.read())
    except OSError as error:
        raise TrustError(f"[relay] ca_file cannot be read: {error.strerror}") from None
    except ValueError:
        raise TrustError("[relay] ca_file holds no PEM certificates that can be read") from None
    return trustRootFromCertificates([Certificate(crypto.X509.from_cryptography(one)) for one in certificates])
