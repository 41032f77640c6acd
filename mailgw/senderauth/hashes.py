"""What a signature covers, hashed: the body in pieces, and the fields that h= names (RFC 6376 3.4, 3.7, 5.4.2).

Those who sign and those who verify use the same. The canonical form of fields is dkimpy's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator

from dkim.canonicalization import CanonicalizationPolicy

from mailgw.mail.message import Field, FileContent, Message
from mailgw.senderauth.body_hash import BodyHash

# What is larger is hashed in a thread: about a millisecond.
INLINE_SIZE = 128 * 1024
INLINE_HEAD = 32 * 1024
CHUNK = 256 * 1024


def is_large(message: Message) -> bool:
    """Whether to work in a thread: the content is in a file, or takes long to hash."""
    return isinstance(message.content, FileContent) or message.size > INLINE_SIZE or len(message.head) > INLINE_HEAD


def hash_body(message: Message, canonicalizations: Collection[str]) -> dict[str, tuple[bytes, int]]:
    """Give digest and length of the body in each of the forms, read once. Blocks where the content is a file."""
    if not canonicalizations:
        return {}
    hashes = {name: BodyHash(relaxed=name == "relaxed") for name in canonicalizations}
    with message.content.open() as file:
        file.seek(len(message.head))
        while piece := file.read(CHUNK):
            for body_hash in hashes.values():
                body_hash.update(piece)
    return {name: body_hash.finish() for name, body_hash in hashes.items()}


def canonical_fields(fields: Iterable[Field], names: Collection[str], form: str) -> bytes:
    """Give the fields that `names` (h=, in lower case) choose, in their canonical form: `simple` or `relaxed`.

    `fields` stand from top to bottom, without the one that signs.
    """
    return b"".join(_canonical(_chosen(fields, names), form))


def hash_fields(canonical: bytes, name: bytes, unsigned: bytes, form: str) -> bytes:
    """Hash them with the field that signs, whose value is without that of b=, and which has no line end at last."""
    (own,) = _canonical([(name, unsigned)], form)
    return hashlib.sha256(canonical + own.rstrip(b"\r\n")).digest()


def _canonical(fields: Iterable[tuple[bytes, bytes]], form: str) -> list[bytes]:
    policy = CanonicalizationPolicy.from_c_value(form.encode())
    return [name + b":" + value for name, value in policy.canonicalize_headers(fields)]


def _chosen(fields: Iterable[Field], names: Collection[str]) -> Iterator[tuple[bytes, bytes]]:
    """Give (name, value with its line ends) of the fields that are signed, in the order of `names`.

    RFC 6376 5.4.2: of several fields of one name, the lowest first. A name without a field is passed over.
    """
    left: dict[str, list[Field]] = {name: [] for name in names}
    for field in fields:
        if field.key in left:
            left[field.key].append(field)
    for name in names:
        if left[name]:
            field = left[name].pop()
            value = field.raw.partition(b":")[2]
            yield field.name.encode("ascii"), value if value.endswith(b"\r\n") else value + b"\r\n"
