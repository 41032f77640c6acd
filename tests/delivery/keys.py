"""DKIM keys in files, for tests."""

from __future__ import annotations

import os
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)


def pem(kind: str, number: int = 0) -> bytes:
    """A private key: `rsa`, `rsa-1024`, `ed25519`, `ec`, or `encrypted`; another one for each number."""
    return _pem(kind, number)


def small_rsa() -> bytes:
    """An RSA key of 512 bits, which nobody makes any more."""
    p, q = 2**256 - 189, 2**255 - 19
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), RSAPublicNumbers(65537, p * q))
    private = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def _pem(kind: str, number: int) -> bytes:
    if kind == "ed25519":
        return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if kind == "ec":
        return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if kind == "encrypted":
        secret = BestAvailableEncryption(b"secret")
        return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
    bits = int(kind.partition("-")[2] or 2048)
    return generate_rsa(65537, bits).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_key(directory: str, domain: str, selector: str, data: bytes, mode: int = 0o600) -> str:
    """Put a key where a postmaster puts it; give its path."""
    folder = os.path.join(directory, domain)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"{selector}.pem")
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    return path


def write_states(directory: str, domain: str, text: str) -> None:
    with open(os.path.join(directory, domain, "selectors"), "w", encoding="utf-8") as file:
        file.write(text)
