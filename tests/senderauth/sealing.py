"""Messages with an ARC chain, for tests. A small sealer: it writes what it is told, right or wrong."""

from __future__ import annotations

import base64
import hashlib
import re

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from dkim.canonicalization import Relaxed

from tests.senderauth.signing import CONTENT, ed25519_key, rsa_key

TIME = 1790000000


def seal(
    content: bytes = CONTENT,
    *,
    instance: int = 1,
    domain: str = "lists.example",
    selector: str = "s1",
    results: str = "dkim=pass header.d=example.org; dmarc=pass header.from=example.org",
    cv: str = "",
    signed: str = "from:to:subject:date:message-id",
    algorithm: str = "rsa-sha256",
    bits: int = 2048,
    more: str = "",
    more_in_seal: str = "",
) -> bytes:
    """Put one set in front of the content (RFC 8617 5.1). `cv` is that of a good chain unless it is given."""
    head, _, body = content.partition(b"\r\n\r\n")
    before = [_split(raw) for raw in re.findall(rb"(?:[^\r\n]+(?:\r\n[ \t][^\r\n]*)*)\r\n", head + b"\r\n")]
    body_hash = base64.b64encode(hashlib.sha256(Relaxed.canonicalize_body(body)).digest()).decode()
    tags = f"i={instance}; a={algorithm}; d={domain}; s={selector}; t={TIME};"
    aar = f"ARC-Authentication-Results: i={instance}; {domain}; {results}\r\n".encode()
    ams = f"ARC-Message-Signature: {tags} c=relaxed/relaxed; h={signed}; bh={body_hash};{more} b=".encode()
    left = list(before)
    covered = []
    for name in signed.encode().split(b":"):
        field = next((field for field in reversed(left) if field[0].lower() == name.strip()), None)
        if field:
            left.remove(field)
            covered.append(field)
    ams += _sign(_canonical([*covered, _split(ams)]), algorithm, bits) + b"\r\n"
    sealing = f"ARC-Seal: {tags} cv={cv or ('none' if instance == 1 else 'pass')};{more_in_seal} b=".encode()
    sets = [field for field in before if field[0].lower().startswith(b"arc-")]
    # Each set was put in front as seal, signature, results.
    sets = [*reversed(sets), _split(aar), _split(ams), _split(sealing)]
    sealing += _sign(_canonical(sets), algorithm, bits) + b"\r\n"
    return sealing + ams + aar + content


def chain(count: int, content: bytes = CONTENT, **options: str) -> bytes:
    """Seal so many times."""
    for instance in range(1, count + 1):
        content = seal(content, instance=instance, **options)  # type: ignore[arg-type]  # the texts among them
    return content


def _split(raw: bytes) -> tuple[bytes, bytes]:
    name, _, value = raw.partition(b":")
    return name, value


def _canonical(fields: list[tuple[bytes, bytes]]) -> bytes:
    lines = Relaxed.canonicalize_headers(fields)
    return b"".join(name + b":" + value for name, value in lines).removesuffix(b"\r\n")


def _sign(data: bytes, algorithm: str, bits: int) -> bytes:
    if algorithm == "ed25519-sha256":
        return base64.b64encode(ed25519_key().sign(hashlib.sha256(data).digest()).signature)
    return base64.b64encode(rsa_key(bits).sign(data, PKCS1v15(), SHA256()))
