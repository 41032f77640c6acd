"""What DKIM and ARC share: keys from DNS, and the check of a signature (RFC 6376 6.1).

`cryptography` verifies it in a tenth of the time that dkimpy takes.
"""

from __future__ import annotations

import re

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.mail.message import Message
from mailgw.senderauth.gather import gather
from mailgw.senderauth.hashes import canonical_fields, hash_fields
from mailgw.senderauth.key import MAIL, Key, parse_key
from mailgw.senderauth.signature import Signature, SignatureProblem

MAX_KEY_RECORDS = 10
_TLS_REPORT = re.compile(r'multipart/report\s*;(?:.*;)?\s*report-type\s*=\s*"?tlsrpt\b', re.IGNORECASE | re.DOTALL)

KeyRecords = tuple[bytes, ...] | DnsFailure
"""The TXT records under a key's name, or why there is no answer."""


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


def services_of(message: Message) -> frozenset[bytes]:
    """Give the service types of keys that may sign a message: those of a report on TLS have one of their own
    (RFC 8460 3, 6.6)."""
    types = message.get_all("content-type")
    return MAIL | {b"tlsrpt"} if len(types) == 1 and _TLS_REPORT.match(types[0].text) else MAIL


def choose_key(signature: Signature, records: KeyRecords, services: frozenset[bytes] = MAIL) -> Key:
    """Give the first record that is a key for the signature. Raises the first one's problem when none is."""
    if isinstance(records, DnsFailure):
        raise SignatureProblem("temperror", "the key could not be fetched: DNS does not answer")
    first = SignatureProblem("permerror", "there is no key")
    for n, record in enumerate(records):
        try:
            return parse_key(signature, record, services)
        except SignatureProblem as problem:
            if n == 0:
                first = problem
    raise first


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
    form = "/".join(signature.canonicalization)
    others = (field for field in message.fields if field is not signature.field)
    names = signature.signed
    if "from" in names:
        # One more than is signed: a second From field, which some would show, breaks the signature (RFC 6376 8.15).
        names = (*names, "from")
    canonical = canonical_fields(others, names, form)
    return hash_fields(canonical, signature.field.name.encode("ascii"), signature.unsigned, form)
