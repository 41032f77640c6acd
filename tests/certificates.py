"""Certificates as tests want them: authorities, chains, dates in the past, names of others."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import CertificateOptions

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
PAST = (NOW - 30 * DAY, NOW - DAY)
FUTURE = (NOW + DAY, NOW + 30 * DAY)
_PRESENT = (NOW - DAY, NOW + 30 * DAY)


@frozen(eq=False)
class Identity:
    """A certificate with its key, and those above it that a server would send."""

    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...] = field(default=())

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        return (self.certificate, *self.above)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        return self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self) -> bytes:
        """The chain, as a server's file has it."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def options(self, **more: Any) -> CertificateOptions:
        """What a server of Twisted takes."""
        certificate: Any = self.certificate  # pyOpenSSL's own types are deprecated
        above: Any = self.above
        key: Any = self.key
        return CertificateOptions(privateKey=key, certificate=certificate, extraCertChain=above, **more)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write NAME.crt and NAME.key, and give their paths."""
        paths = folder / f"{name}.crt", folder / f"{name}.key"
        paths[0].write_bytes(self.pem)
        paths[1].write_bytes(self.key_pem)
        return paths


def issue(
    names: Sequence[str] = (),
    by: Identity | None = None,
    *,
    common_name: str = "",
    authority: bool = False,
    key: Key | None = None,
    valid: tuple[datetime.datetime, datetime.datetime] = _PRESENT,
) -> Identity:
    """Make a certificate for DNS names (none: without the extension), signed `by` one above it, or by itself.

    Its key is one on P-256, unless `key` is given.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    common_name = common_name or (names[0] if names else "nobody")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    certificate = builder.sign(by.key if by else key, hashes.SHA256())
    return Identity(certificate, key, by.chain if by else ())
