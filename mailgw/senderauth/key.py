"""A signer's public key, as its record in DNS gives it (RFC 6376 3.6.1, RFC 8463)."""

from __future__ import annotations

import base64

from attrs import frozen
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from mailgw.senderauth.signature import Signature, SignatureProblem
from mailgw.senderauth.tags import parse_tags, split_list

MAIL = frozenset({b"*", b"email"})
"""The service types (s=) of keys for mail."""
MAX_RECORD = 8192
# RFC 8301 3.2: below 1024 bits a signature is not to be believed; a larger key or exponent costs us too much time.
MIN_BITS = 1024
MAX_BITS = 8192
MAX_EXPONENT_BITS = 64

PADDING = PKCS1v15()
PREHASHED = Prehashed(SHA256())


@frozen
class Key:
    """A key that may verify a signature. `testing`: its owner is only trying DKIM (t=y)."""

    public: RSAPublicKey | Ed25519PublicKey
    testing: bool

    def verifies(self, data: bytes, digest: bytes) -> bool:
        """Whether `data` is this key's signature of a SHA-256 digest. RFC 8463 3: Ed25519 signs the digest too."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(data, digest, PADDING, PREHASHED)
            else:
                self.public.verify(data, digest)
        except InvalidSignature:
            return False
        return True


def parse_key(signature: Signature, record: bytes, services: frozenset[bytes] = MAIL) -> Key:
    """Take the key record; raise SignatureProblem when it may not verify this signature (RFC 6376 6.1.2), or is for
    none of the `services` that the message belongs to."""
    if len(record) > MAX_RECORD:
        raise SignatureProblem("permerror", f"the key record is longer than {MAX_RECORD} octets")
    try:
        tags = parse_tags(record)
    except ValueError:
        raise SignatureProblem("permerror", "the key record is not a list of tag=value") from None
    if tags.get("v", b"DKIM1") != b"DKIM1" or "p" not in tags:
        raise SignatureProblem("permerror", "the key record is not one of DKIM")
    if not tags["p"]:
        raise SignatureProblem("permerror", "the key was revoked")
    if tags.get("k", b"rsa") != signature.algorithm.partition("-")[0].encode():
        raise SignatureProblem("permerror", f"the key is not one for {signature.algorithm}")
    if "h" in tags and b"sha256" not in split_list(tags["h"]):
        raise SignatureProblem("permerror", "the key does not allow sha256")
    if "s" in tags and services.isdisjoint(split_list(tags["s"])):
        raise SignatureProblem("permerror", "the key is not one for mail")
    flags = split_list(tags.get("t", b""))
    if b"s" in flags and signature.identity and signature.identity.rpartition("@")[2].lower() != signature.domain:
        raise SignatureProblem("permerror", "the key does not allow a subdomain in i=")
    return Key(load_public(tags["p"], signature.algorithm), testing=b"y" in flags)


def load_public(data: bytes, algorithm: str) -> RSAPublicKey | Ed25519PublicKey:
    """Take the p= tag of a key record. Raises SignatureProblem."""
    try:
        octets = base64.b64decode(data)
        if algorithm == "ed25519-sha256":
            return Ed25519PublicKey.from_public_bytes(octets)
        public = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureProblem("permerror", "the key cannot be read") from None
    if not isinstance(public, RSAPublicKey):
        raise SignatureProblem("permerror", "the key is not one for RSA")
    bits = public.key_size
    if bits < MIN_BITS:
        raise SignatureProblem("policy", f"the key has {bits} bits, fewer than {MIN_BITS} (RFC 8301)")
    if bits > MAX_BITS:
        raise SignatureProblem("policy", f"the key has {bits} bits, more than {MAX_BITS}")
    if public.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        raise SignatureProblem("policy", "the key has a very large exponent")
    return public


def public_octets(public: RSAPublicKey | Ed25519PublicKey) -> bytes:
    """Give a public key as p= has it: RFC 6376 3.6.1 for RSA, RFC 8463 4.2 for Ed25519."""
    if isinstance(public, RSAPublicKey):
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)
