"""Signed messages for tests."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from nacl.signing import SigningKey

CONTENT = (
    b"From: Ann <ann@example.org>\r\n"
    b"To: bob@example.net\r\n"
    b"Subject: the minutes\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"\r\n"
    b"Dear Bob,\r\n\r\nhere  are the minutes. \r\n\r\n"
)


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def rsa_record(bits: int = 2048) -> str:
    public = rsa_key(bits).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def rsa_record_of(modulus: int, exponent: int = 65537) -> str:
    """The record of any numbers, whether they are a good key or not."""
    data = _der(0x30, _der(2, _octets(modulus)) + _der(2, _octets(exponent)))  # RFC 8017 A.1.1 RSAPublicKey
    return f"v=DKIM1; k=rsa; p={base64.b64encode(data).decode()}"


def _octets(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2)
    return bytes([tag]) + length + content


@cache
def ed25519_key() -> SigningKey:
    return SigningKey(bytes(32))


def ed25519_record() -> str:
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(ed25519_key().verify_key)).decode()}"


def sign(
    content: bytes = CONTENT,
    *,
    selector: str = "s1",
    domain: str = "example.org",
    algorithm: str = "rsa-sha256",
    bits: int = 2048,
    canonicalization: tuple[bytes, bytes] = (b"relaxed", b"relaxed"),
    **options: Any,
) -> bytes:
    """Put a DKIM-Signature field in front of the content, by dkimpy."""
    if algorithm == "ed25519-sha256":
        key = base64.b64encode(bytes(ed25519_key()))
    else:
        key = rsa_key(bits).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    signer = dkim.DKIM(content)
    field: bytes = signer.sign(
        selector.encode(),
        domain.encode(),
        key,
        signature_algorithm=algorithm.encode(),
        canonicalize=canonicalization,
        **options,
    )
    return field + content
