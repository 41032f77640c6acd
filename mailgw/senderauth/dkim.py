"""DKIM (RFC 6376): which domains answer for this message?

The tags are read and the body is hashed here, so that each outcome has its reason and a large body costs little
memory. dkimpy chooses, canonicalizes and hashes the header fields; `cryptography` verifies the signature in a tenth
of the time that dkimpy takes. Keys are fetched before, all at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import dkim
from attrs import frozen
from dkim.canonicalization import CanonicalizationPolicy
from twisted.logger import Logger

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.mail.message import FileContent, Message
from mailgw.operation.threads import Threads
from mailgw.senderauth.body_hash import BodyHash
from mailgw.senderauth.gather import gather
from mailgw.senderauth.key import Key, parse_key
from mailgw.senderauth.signature import Signature, SignatureProblem, describe, parse_signature

MAX_SIGNATURES = 5
MAX_KEY_RECORDS = 10
# What is larger is verified in a thread: about a millisecond of hashing.
INLINE_SIZE = 128 * 1024
INLINE_HEAD = 32 * 1024
CHUNK = 256 * 1024


@frozen
class DkimResult:
    """The outcome for one signature: an RFC 8601 2.7.1 `result`; `reason` is in plain words, empty for a pass.

    The others are what the signature says of itself, hostile input unless the result is `pass`: `signature` is the
    start of b= (RFC 6008), `identity` the i= tag or empty.
    """

    result: str
    reason: str = ""
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    identity: str = ""
    signature: str = ""
    testing: bool = False


class Dkim:
    """Verifies signatures. `threads` run what is large; `seconds` is the wall clock."""

    log = Logger()

    def __init__(self, resolver: Resolver, threads: Threads, seconds: Callable[[], float]) -> None:
        self._resolver = resolver
        self._threads = threads
        self._seconds = seconds

    async def verify(self, message: Message) -> tuple[DkimResult, ...]:
        """Give a result for each of the first 5 signatures, from the top; nothing when there are none.

        Raises OSError when a message in a file cannot be read.
        """
        fields = message.get_all("dkim-signature")[:MAX_SIGNATURES]
        if not fields:
            return ()
        now = self._seconds()
        entries: list[Signature | SignatureProblem] = []
        for field in fields:
            try:
                entries.append(parse_signature(field, now))
            except SignatureProblem as problem:
                entries.append(problem)
        keys = await self._fetch_keys({entry.key_name for entry in entries if isinstance(entry, Signature)})
        work = [(entry, keys[entry.key_name]) for entry in entries if isinstance(entry, Signature)]
        large = (
            isinstance(message.content, FileContent) or message.size > INLINE_SIZE or len(message.head) > INLINE_HEAD
        )
        if work and large:
            verified = iter(await self._threads.run(self._verify_all, message, work))
        else:
            verified = iter(self._verify_all(message, work))
        outcomes = [entry if isinstance(entry, SignatureProblem) else next(verified) for entry in entries]
        return tuple(_result(outcome, describe(field)) for field, outcome in zip(fields, outcomes, strict=True))

    async def _fetch_keys(self, names: set[str]) -> dict[str, tuple[bytes, ...] | DnsFailure]:
        found: dict[str, tuple[bytes, ...] | DnsFailure] = {}

        async def fetch(name: str) -> None:
            try:
                answer = await self._resolver.lookup(name, "TXT")
            except DnsFailure as failure:
                found[name] = failure
            else:
                found[name] = tuple(r for r in answer.records if isinstance(r, bytes))[:MAX_KEY_RECORDS]

        await gather(fetch(name) for name in names)
        return found

    def _verify_all(
        self, message: Message, work: Sequence[tuple[Signature, tuple[bytes, ...] | DnsFailure]]
    ) -> list[SignatureProblem | Key]:
        """Verify what has a key. Gives the key of a good signature, or the problem of one that is not."""
        outcomes: list[SignatureProblem | Key] = []
        keys: list[Key | SignatureProblem] = []
        for signature, records in work:
            try:
                keys.append(_choose_key(signature, records))
            except SignatureProblem as problem:
                keys.append(problem)
        wanted = {s.canonicalization[1] for (s, _), key in zip(work, keys, strict=True) if isinstance(key, Key)}
        bodies = _hash_body(message, wanted)
        for (signature, _), key in zip(work, keys, strict=True):
            if isinstance(key, SignatureProblem):
                outcomes.append(key)
                continue
            try:
                _verify(message, signature, key, *bodies[signature.canonicalization[1]])
                outcomes.append(key)
            except SignatureProblem as problem:
                outcomes.append(_unless_testing(problem, key))
            except Exception:
                # dkimpy may trip over a header that nobody thought of.
                self.log.failure(
                    "DKIM signature of {domain} could not be verified", event="dkim_error", domain=signature.domain
                )
                outcomes.append(SignatureProblem("neutral", "the signature could not be processed"))
        return outcomes


def _is_large(message: Message) -> bool:
    return isinstance(message.content, FileContent) or message.size > INLINE_SIZE or len(message.head) > INLINE_HEAD


def _choose_key(signature: Signature, records: tuple[bytes, ...] | DnsFailure) -> Key:
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


def _hash_body(message: Message, canonicalizations: set[str]) -> dict[str, tuple[bytes, int]]:
    """Read the body once for all of the forms. Blocks where the content is a file."""
    if not canonicalizations:
        return {}
    hashes = {name: BodyHash(relaxed=name == "relaxed") for name in canonicalizations}
    with message.content.open() as file:
        file.seek(len(message.head))
        while piece := file.read(CHUNK):
            for body_hash in hashes.values():
                body_hash.update(piece)
    return {name: body_hash.finish() for name, body_hash in hashes.items()}


def _verify(message: Message, signature: Signature, key: Key, digest: bytes, length: int) -> None:
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
    headers = form.canonicalize_headers(_headers(message, signature))
    # One more From than is signed: a second From field, which some would show, breaks the signature (RFC 6376 8.15).
    signed = [*(name.encode() for name in signature.signed), b"from"]
    digest = hashlib.sha256()
    dkim.hash_headers(digest, form, headers, signed, (signature.name, signature.unsigned), {})
    return digest.digest()


def _headers(message: Message, signature: Signature) -> list[tuple[bytes, bytes]]:
    """Give the fields that the signature may cover, in the form of dkimpy: (name, value with its line ends)."""
    wanted = set(signature.signed)
    headers = []
    for field in message.fields:
        if field.key in wanted:
            value = field.raw.partition(b":")[2]
            headers.append((field.name.encode("ascii"), value if value.endswith(b"\r\n") else value + b"\r\n"))
    return headers


def _unless_testing(problem: SignatureProblem, key: Key) -> SignatureProblem:
    """RFC 6376 3.6.1: a signature that fails under a key marked `t=y` is to count as none."""
    if key.testing and problem.result == "fail":
        return SignatureProblem("neutral", f"{problem.reason}; the key is a test")
    return problem


def _result(outcome: SignatureProblem | Key, tags: dict[str, str]) -> DkimResult:
    if isinstance(outcome, Key):
        result, reason, testing = "pass", "", outcome.testing
    else:
        result, reason, testing = outcome.result, outcome.reason, False
    return DkimResult(
        result,
        reason,
        domain=tags.get("d", "").lower(),
        selector=tags.get("s", ""),
        algorithm=tags.get("a", ""),
        identity=tags.get("i", ""),
        signature=tags.get("b", "")[:8],
        testing=testing,
    )
