"""What DKIM and ARC share: keys from DNS, hashes of body and header, the check of a signature (RFC 6376 6.1).

The body is hashed here in pieces, so that a large one costs little memory. dkimpy canonicalizes the header
fields; `cryptography` verifies the signature in a tenth of the time that dkimpy takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

from dkim.canonicalization import CanonicalizationPolicy

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.mail.message import Field, FileContent, Message
from mailgw.senderauth.body_hash import BodyHash
from mailgw.senderauth.gather import gather
from mailgw.senderauth.key import Key, parse_key
from mailgw.senderauth.signature import Signature, SignatureProblem

MAX_KEY_RECORDS = 10
# What is larger is verified in a thread: about a millisecond of hashing.
INLINE_SIZE = 128 * 1024
INLINE_HEAD = 32 * 1024
CHUNK = 256 * 1024

KeyRecords = tuple[bytes, ...] | DnsFailure
"""The TXT records under a key's name, or why there is no answer."""


def is_large(message: Message) -> bool:
    """Whether to verify in a thread: the content is in a file, or takes long to hash."""
    return isinstance(message.content, FileContent) or message.size > INLINE_SIZE or len(message.head) > INLINE_HEAD


async def fetch_keys(resolver: Resolver, names: set[str]) -> dict[str, KeyRecords]:
    """Ask for all keys at once. Raises nothing: what DNS does not tell is in the answer."""
    found: dict[str, KeyRecords] = {}

    async def fetch(name: str) -> None:
        try:
            answer = await resolver.lookup(name, "TXT")
        except DnsFailure as failure:
            found[name] = failure
        else:
            found[name] = tuple(r for r in answer.records if isinstance(r, bytes))[:MAX_KEY_RECORDS]

    await gather(fetch(name) for name in names)
    return found


def choose_key(signature: Signature, records: KeyRecords) -> Key:
    """Give the first record that is a key for the signature. Raises the first one's problem when none is."""
    if isinstance(records, DnsFailure):
        raise SignatureProblem("temperror", "the key could not be fetched: DNS does not answer")
    first = SignatureProblem("permerror", "there is no key")
    for n, record in enumerate(records):
        try:
            return parse_key(signature, record)
        except SignatureProblem as problem:
            if n == 0:
                first = problem
    raise first


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


def verify_signature(message: Message, signature: Signature, key: Key, digest: bytes, length: int) -> None:
    """Raise SignatureProblem unless the signature holds for all of the message."""
    if signature.length is not None and signature.length != length:
        if signature.length > length:
            raise SignatureProblem("fail", "the body is shorter than l= says")
        # RFC 6376 8.2: whatever was appended would look signed.
        raise SignatureProblem("policy", f"l= leaves {length - signature.length} octets of the body unsigned")
    if digest != signature.body_hash:
        raise SignatureProblem("fail", "the body was changed: its hash does not match")
    if not key.verifies(signature.data, _hash_header(message, signature)):
        raise SignatureProblem("fail", "the signature does not match the header")


def _hash_header(message: Message, signature: Signature) -> bytes:
    """Hash the signed fields and the signature's own, in canonical form (RFC 6376 3.7)."""
    form = CanonicalizationPolicy.from_c_value("/".join(signature.canonicalization).encode())
    own = (signature.field.name.encode("ascii"), signature.unsigned)
    lines = form.canonicalize_headers([*_signed_fields(message, signature), own])
    return hashlib.sha256(b"".join(name + b":" + value for name, value in lines).rstrip(b"\r\n")).digest()


def _signed_fields(message: Message, signature: Signature) -> Iterator[tuple[bytes, bytes]]:
    """Give the fields that the signature covers in their order, in the form of dkimpy: (name, value, line ends).

    RFC 6376 5.4.2: of several fields of one name, the lowest first. A name without a field is passed over.
    """
    fields: dict[str, list[Field]] = {name: [] for name in signature.signed}
    for field in message.fields:
        if field.key in fields and field is not signature.field:
            fields[field.key].append(field)
    # One more From than is signed: a second From field, which some would show, breaks the signature (RFC 6376 8.15).
    for name in (*signature.signed, "from"):
        if left := fields.get(name):
            field = left.pop()
            value = field.raw.partition(b":")[2]
            yield field.name.encode("ascii"), value if value.endswith(b"\r\n") else value + b"\r\n"
