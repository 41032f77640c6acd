"""What is wrong with a server's certificate: for those who speak TLS with servers as clients."""

from __future__ import annotations

import ipaddress

from attrs import frozen
from OpenSSL.crypto import X509
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns

from mailgw.mail.tlsresult import FailureType


@frozen
class Flaw:
    """Something wrong: of which kind (RFC 8460 4.3.1), and in words for 'it has a certificate that ...'."""

    kind: FailureType
    words: str


_STRANGER = Flaw("certificate-not-trusted", "is signed by nobody whom we trust")
# X509_verify_cert(3): what most certificates fail for.
_FLAWS = {
    9: Flaw("certificate-expired", "is not valid yet"),
    10: Flaw("certificate-expired", "has expired"),
    18: Flaw("certificate-not-trusted", "is signed by itself only"),
    19: _STRANGER,
    20: _STRANGER,
    21: _STRANGER,
}


def flaw_of(certificate: X509, name: str, number: int, depth: int, ok: int) -> Flaw | None:
    """Judge a certificate of the chain, as OpenSSL's verification asks for each, from the root (at the highest `depth`)
    to the server's own (0), which must be for `name`: a host name in A-labels, or an address (RFC 9525).

    `number` is what OpenSSL has found wrong with it, if it is not `ok`. Never raises: that would be lost in a callback.

    Twisted's optionsForClientTLS does not do: it takes a certificate without any name for everybody's, and does not
    tell what is wrong with one.
    """
    if not ok:
        return _FLAWS.get(number) or Flaw("validation-failure", f"is not valid (OpenSSL {number})")
    if depth:
        return None
    try:
        wanted = IPAddress_ID(name) if is_address(name) else DNS_ID(name)
        verify_service_identity(extract_patterns(certificate), [wanted], [])
    except VerificationError:
        return Flaw("certificate-host-mismatch", "is for another name")
    except Exception as error:  # CertificateError above all
        return Flaw("certificate-host-mismatch", f"names nobody that can be read ({error})")
    return None


def is_address(name: str) -> bool:
    """Whether a host is named by its IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
