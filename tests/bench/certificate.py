"""The certificate that all servers of a benchmark show: RSA with 2048 bits, as most mail servers have."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.certificates import issue


def make_certificate(host: str) -> tuple[bytes, bytes]:
    """Make a self-signed certificate for a host; give it and its key, both PEM."""
    identity = issue([host], key=rsa.generate_private_key(65537, 2048))
    return identity.pem, identity.key_pem
