"""A key that signs: its private half, and the record of its public half for DNS (RFC 6376 3.6.1, RFC 8463 4)."""

from __future__ import annotations

import base64
from functools import cached_property

from attrs import frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mailgw.senderauth.key import MAX_BITS, MIN_BITS, PADDING, PREHASHED, public_octets


class KeyUnusable(ValueError):
    """The file holds no key that may sign; the text says why."""


@frozen
class SigningKey:
    """A private key with the name of its record. `domain` and `selector` are in lower-case A-labels."""

    domain: str
    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """The a= tag: `rsa-sha256` or `ed25519-sha256`."""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    @property
    def name(self) -> str:
        """The name of the key record in DNS (RFC 6376 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    @cached_property
    def record(self) -> str:
        """The text of the key record."""
        kind = self.algorithm.partition("-")[0]
        return f"v=DKIM1; k={kind}; p={base64.b64encode(self.public_octets).decode('ascii')}"

    @cached_property
    def public_octets(self) -> bytes:
        """The public key as p= has it."""
        return public_octets(self.private.public_key())

    def sign(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest. RFC 8463 3: plain Ed25519 over the digest, not Ed25519ph."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(digest, PADDING, PREHASHED)
        return self.private.sign(digest)


def load_private(pem: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    """Take a private key in PEM. Raises KeyUnusable."""
    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError:
        raise KeyUnusable("the key is encrypted; the gateway can ask nobody for its password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable("this is no private key in PEM") from None
    if isinstance(private, Ed25519PrivateKey):
        return private
    if not isinstance(private, RSAPrivateKey):
        raise KeyUnusable("the key is neither for RSA nor for Ed25519")
    if not MIN_BITS <= private.key_size <= MAX_BITS:
        # RFC 8301 3.2: what is shorter is refused by those who verify, and so is what is much longer.
        raise KeyUnusable(f"the key has {private.key_size} bits; use 2048")
    return private
