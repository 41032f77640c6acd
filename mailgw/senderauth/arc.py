"""ARC (RFC 8617): do those who passed the message on vouch for it? Only validation: we do not seal.

A passing chain says no more than who sealed. Anybody may seal, so what a seal is worth is for a list of trusted
sealers to say (`trusted_seal`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen
from dkim.canonicalization import Relaxed
from twisted.logger import Logger

from mailgw.dns.interface import Resolver
from mailgw.mail.address import AddressError, ascii_domain
from mailgw.mail.message import Field, Message
from mailgw.operation.threads import Threads
from mailgw.senderauth.chain import ArcSet, parse_chain
from mailgw.senderauth.hashes import hash_body, is_large
from mailgw.senderauth.key import Key
from mailgw.senderauth.signature import Signature, SignatureProblem
from mailgw.senderauth.verification import KeyRecords, choose_key, fetch_keys, verify_signature

# What is longer is verified in a thread.
INLINE_SETS = 5
# The seals and the newest signature need theirs. Keys of older signatures, which only tell how far back the message
# is unchanged, are fetched up to this many in all.
MAX_KEYS = 20


@frozen
class Seal:
    """One sealer of a passing chain: the domain that it signs with, and what it says of DMARC (empty: nothing)."""

    domain: str
    dmarc: str = ""


@frozen
class ArcResult:
    """`result` is none, pass, fail, or temperror when only DNS failed; `reason` is in plain words, empty for a pass.

    Of a pass: `seals` from the newest to the first; `oldest_pass` as in RFC 8617 5.2: the oldest instance whose
    message signature holds still, 0 when all do, None when that is not known; `signs_from`: the newest message
    signature covers the From field.
    """

    result: str
    reason: str = ""
    seals: tuple[Seal, ...] = ()
    oldest_pass: int | None = None
    signs_from: bool = False


def trusted_seal(result: ArcResult, trusted: Sequence[str]) -> str | None:
    """Give the domain of the trusted sealer who vouches for the author, or None.

    The newest sealer must be trusted, as it alone answers for the message as it came. One that found itself that
    DMARC fails does not vouch for the author, but for the seal before its own: then that sealer must be trusted too.
    """
    if result.result != "pass" or not result.signs_from:
        return None
    domains = {_comparable(domain) for domain in trusted}
    for seal in result.seals:
        if _comparable(seal.domain) not in domains:
            return None
        if seal.dmarc != "fail":
            return seal.domain
    return None


class Arc:
    """Validates chains. `threads` run what is large; `seconds` is the wall clock."""

    log = Logger()

    def __init__(self, resolver: Resolver, threads: Threads, seconds: Callable[[], float]) -> None:
        self._resolver = resolver
        self._threads = threads
        self._seconds = seconds

    async def validate(self, message: Message) -> ArcResult:
        """Follow RFC 8617 5.2. Raises OSError when a message in a file cannot be read."""
        try:
            chain = parse_chain(message, self._seconds())
        except SignatureProblem as problem:
            return ArcResult("fail", problem.reason)
        if not chain:
            return ArcResult("none")
        records = await fetch_keys(self._resolver, _key_names(chain))
        if is_large(message) or len(chain) > INLINE_SETS:
            return await self._threads.run(self._validate, message, chain, records)
        return self._validate(message, chain, records)

    def _validate(self, message: Message, chain: Sequence[ArcSet], records: Mapping[str, KeyRecords]) -> ArcResult:
        try:
            return _validate(message, chain, records)
        except OSError:
            raise
        except Exception:
            # dkimpy may trip over a header that nobody thought of.
            self.log.failure(
                "the ARC of {domain} could not be validated", event="arc_error", domain=chain[-1].seal.domain
            )
            return ArcResult("fail", "the chain could not be processed")


class _Keys:
    """Gives the key of a signature. Few keys make many signatures, so each is read once."""

    def __init__(self, records: Mapping[str, KeyRecords]) -> None:
        self._records = records
        self._found: dict[tuple[str, str], Key | SignatureProblem] = {}

    def find(self, signature: Signature) -> Key:
        """Raises SignatureProblem."""
        wanted = signature.key_name, signature.algorithm
        if wanted not in self._found:
            try:
                if signature.key_name not in self._records:
                    raise SignatureProblem("temperror", "the key was not fetched")
                self._found[wanted] = choose_key(signature, self._records[signature.key_name])
            except SignatureProblem as problem:
                self._found[wanted] = problem
        key = self._found[wanted]
        if isinstance(key, SignatureProblem):
            raise key
        return key


def _validate(message: Message, chain: Sequence[ArcSet], records: Mapping[str, KeyRecords]) -> ArcResult:
    """Steps 4 to 7 of RFC 8617 5.2, with the keys at hand. Blocks where the content is a file."""
    keys = _Keys(records)
    signatures = [s.message_signature for s in chain if isinstance(s.message_signature, Signature)]
    bodies = hash_body(message, {signature.canonicalization[1] for signature in signatures})

    def check_message(signature: Signature | SignatureProblem) -> SignatureProblem | None:
        if isinstance(signature, SignatureProblem):
            return signature
        try:
            verify_signature(message, signature, keys.find(signature), *bodies[signature.canonicalization[1]])
        except SignatureProblem as problem:
            return problem
        return None

    newest = chain[-1]
    problems = [(f"ARC-Message-Signature i={newest.instance}", check_message(newest.message_signature))]
    problems += [(f"ARC-Seal i={s.instance}", problem) for s, problem in _check_seals(chain, keys)]
    found = [(name, problem) for name, problem in problems if problem]
    # One that fails for good decides, even where DNS failed for another.
    for name, problem in sorted(found, key=lambda item: item[1].result == "temperror"):
        result = "temperror" if problem.result == "temperror" else "fail"
        return ArcResult(result, f"{name}: {problem.reason}")
    return ArcResult(
        "pass",
        seals=tuple(Seal(s.seal.domain, s.dmarc) for s in reversed(chain)),
        oldest_pass=_oldest_pass(chain, check_message),
        signs_from=isinstance(newest.message_signature, Signature) and "from" in newest.message_signature.signed,
    )


def _check_seals(chain: Sequence[ArcSet], keys: _Keys) -> list[tuple[ArcSet, SignatureProblem | None]]:
    """Give each set, from the newest, with the problem of its seal.

    A seal covers all sets before it and the rest of its own, in relaxed form (RFC 8617 5.1.1). What the next one
    covers begins the same, so the digest goes on from there: the work is linear.
    """
    digest = hashlib.sha256()
    checked: list[tuple[ArcSet, SignatureProblem | None]] = []
    for arc_set in chain:
        *others, sealing = arc_set.fields
        digest.update(_canonical((field, _value(field)) for field in others))
        sealed = digest.copy()
        sealed.update(_canonical([(sealing, arc_set.seal.unsigned)]).removesuffix(b"\r\n"))
        problem = None
        try:
            if not keys.find(arc_set.seal).verifies(arc_set.seal.data, sealed.digest()):
                problem = SignatureProblem("fail", "the seal does not match the ARC sets")
        except SignatureProblem as raised:
            problem = raised
        checked.append((arc_set, problem))
        digest.update(_canonical([(sealing, _value(sealing))]))
    return checked[::-1]


def _oldest_pass(
    chain: Sequence[ArcSet], check: Callable[[Signature | SignatureProblem], SignatureProblem | None]
) -> int | None:
    """Step 5 of RFC 8617 5.2, when the newest message signature holds."""
    for arc_set in chain[-2::-1]:
        problem = check(arc_set.message_signature)
        if problem:
            return None if problem.result == "temperror" else arc_set.instance + 1
    return 0


def _canonical(fields: Iterable[tuple[Field, bytes]]) -> bytes:
    lines = Relaxed.canonicalize_headers([(field.name.encode("ascii"), value) for field, value in fields])
    return b"".join(name + b":" + value for name, value in lines)


def _value(field: Field) -> bytes:
    return field.raw.partition(b":")[2]


def _key_names(chain: Sequence[ArcSet]) -> set[str]:
    names = {arc_set.seal.key_name for arc_set in chain}
    for arc_set in reversed(chain):
        signature = arc_set.message_signature
        if isinstance(signature, Signature) and (arc_set is chain[-1] or len(names) < MAX_KEYS):
            names.add(signature.key_name)
    return names


def _comparable(domain: str) -> str:
    try:
        return ascii_domain(domain.rstrip("."))
    except AddressError:
        return domain.lower()
