"""DANE: is a peer who the TLSA records say (RFC 7671, 7672)? No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError, X509StoreFlags
from service_identity import CertificateError
from service_identity.hazmat import DNS_ID, DNSPattern

from mailgw.delivery.tls.tlsa import CERTIFICATE, DANE_EE, DANE_TA, FULL, advised, standing_for
from mailgw.dns.interface import TlsaRecord
from mailgw.mail.tlsresult import FailureType

UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion)
"""What the parts of a certificate that cannot be read raise."""
_EXPIRED = (9, 10)  # X509_verify_cert(3): not valid yet, not valid any more


class NotAuthentic(Exception):
    """The peer is not who the records say. The text ends a sentence: 'it has a certificate that ...'."""

    def __init__(self, failure: FailureType, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


@frozen
class Proof:
    """The record that proves the peer, and by which name; empty where no name was needed."""

    record: TlsaRecord
    name: str = ""


def authenticate(records: Sequence[TlsaRecord], chain: Sequence[x509.Certificate], names: Sequence[str]) -> Proof:
    """Say what proves a peer to be who it is to be. Raises NotAuthentic, or one of UNREADABLE.

    `records` are `usable`; `chain` is what the peer sent, its own certificate first; `names` are those of which it must
    have one under a trust anchor (RFC 7672 3.2.2), the first that it has is the one that counts.
    """
    if not chain:
        raise NotAuthentic("validation-failure", "is not there")
    # RFC 7672 3.1.1, RFC 7671 5.1: names and dates in it mean nothing where its own certificate is published.
    for record in standing_for(chain[0], (record for record in records if record.usage == DANE_EE)):
        return Proof(record)
    anchors = dict(_anchors(records, chain))
    if not anchors:
        raise NotAuthentic("tlsa-invalid", f"fits no TLSA record; {advised(chain[0])} would fit")
    path = _verify(chain, anchors)
    name = next((name for name in names if _is_named(chain[0], name)), "")
    if not name:
        raise NotAuthentic("certificate-host-mismatch", f"is for another name than {' or '.join(names)}")
    return Proof(next(anchors[certificate] for certificate in path if certificate in anchors), name)


def _anchors(
    records: Sequence[TlsaRecord], chain: Sequence[x509.Certificate]
) -> Iterator[tuple[x509.Certificate, TlsaRecord]]:
    """Give the trust anchors, each with the record that makes it one.

    RFC 7671 5.2.2, 5.2.3: they have to be in the chain, but for those that stand in DNS in full: a certificate, or the
    key that signed the last one of the chain.
    """
    above = [record for record in records if record.usage == DANE_TA]
    for certificate in chain[1:]:
        for record in standing_for(certificate, above):
            yield certificate, record
    for record in above:
        if record.matching != FULL:
            continue
        if record.selector == CERTIFICATE:
            yield x509.load_der_x509_certificate(record.data), record
        elif _is_signed(chain[-1], record.data):
            yield chain[-1], record


def _verify(chain: Sequence[x509.Certificate], anchors: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """Give the path to an anchor: signatures, dates and who may sign are as RFC 5280 6 wants them."""
    store = X509Store()
    store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    for anchor in anchors:
        store.add_cert(X509.from_cryptography(anchor))
    leaf, *others = [X509.from_cryptography(certificate) for certificate in chain]
    try:
        return [one.to_cryptography() for one in X509StoreContext(store, leaf, others).get_verified_chain()]
    except X509StoreContextError as error:
        number, depth, words = error.errors
        if number in _EXPIRED:
            whose = "" if depth == 0 else "hangs on one that "
            raise NotAuthentic("certificate-expired", f"{whose}has expired or is not valid yet") from error
        raise NotAuthentic("certificate-not-trusted", f"does not lead to the trust anchor in DNS ({words})") from error


def _is_named(certificate: x509.Certificate, name: str) -> bool:
    """RFC 7672 3.2.3: by a DNS-ID; by the common name only where it has no DNS-ID."""
    names = _dns_names(certificate)
    if not names:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = [str(attribute.value) for attribute in common]
    reference = DNS_ID(name)
    return any(reference.verify(pattern) for pattern in _patterns(names))


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _patterns(names: Iterable[str]) -> Iterator[DNSPattern]:
    for name in names:
        try:
            yield DNSPattern.from_bytes(name.encode())
        except CertificateError:
            continue


def _is_signed(certificate: x509.Certificate, spki: bytes) -> bool:
    """Whether a certificate is signed by the key. What cannot be read is not."""
    key = load_der_public_key(spki)
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        parameters, digest = certificate.signature_algorithm_parameters, certificate.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey) and digest and not isinstance(parameters, ec.ECDSA | None):
            key.verify(signature, signed, parameters, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
            key.verify(signature, signed, parameters)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
