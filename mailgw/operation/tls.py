"""TLS contexts for the listeners."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions, TLSVersion

from mailgw.config.schema import Tls
from mailgw.operation.tlsengine import ServerTls, TlsEngine


class TlsError(Exception):
    """The certificate or the key cannot be used; the message names the file and the reason."""


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def server_options(settings: Tls, read: Callable[[str], bytes] = _read_file) -> CertificateOptions | None:
    """Read certificate and key; None when none are configured. Raises TlsError.

    Reads files, by `read`, which may raise OSError: call it before the reactor runs, while the process may still read
    the key.
    """
    if not settings.certificate_file:
        return None
    # Twisted passes them on to pyOpenSSL, which wants cryptography's types now; the annotations name the older ones.
    chain: list[Any] = list(read_chain(settings.certificate_file, read))
    key: Any = _key(settings.key_file, read)
    minimum = TLSVersion.TLSv1_3 if settings.minimum_version == "1.3" else TLSVersion.TLSv1_2
    options = CertificateOptions(privateKey=key, certificate=chain[0], extraCertChain=chain[1:], raiseMinimumTo=minimum)
    try:
        # RFC 9325 3.4: no TLS compression; OpenSSL 3 has none. Making the context proves that key and certificate fit.
        context = options.getContext()
        context.check_privatekey()
    except SSL.Error:
        raise TlsError(
            f"tls.key_file: the key in {settings.key_file} does not belong to the certificate in "
            f"{settings.certificate_file}"
        ) from None
    return options


def server_engines(settings: Tls, read: Callable[[str], bytes] = _read_file) -> Callable[[], TlsEngine] | None:
    """Give what makes the TLS of a connection; None when no certificate is configured. As `server_options`."""
    options = server_options(settings, read)
    return None if options is None else partial(ServerTls, options.getContext())


def _read(key: str, path: str, read: Callable[[str], bytes]) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise TlsError(f"{key}: cannot read {path}: {error.strerror}") from None


def read_chain(path: str, read: Callable[[str], bytes] = _read_file) -> list[x509.Certificate]:
    """Read our certificate, and those above it that stand in its file. Raises TlsError."""
    text = _read("tls.certificate_file", path, read)
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise TlsError(f"tls.certificate_file: {path} holds no PEM certificate")
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise TlsError(f"tls.certificate_file: {path} holds a certificate that cannot be read") from None


def _key(path: str, read: Callable[[str], bytes]) -> PrivateKeyTypes:
    text = _read("tls.key_file", path, read)
    try:
        # No passphrase: an encrypted key is an error here, not a question on the terminal.
        return load_pem_private_key(text, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise TlsError(f"tls.key_file: {path} holds no unencrypted PEM private key") from None
