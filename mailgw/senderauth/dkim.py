"""DKIM (RFC 6376): which domains answer for this message?

Each outcome has its reason. Keys are fetched before the message is looked at, all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen
from twisted.logger import Logger

from mailgw.dns.interface import Resolver
from mailgw.mail.message import Message
from mailgw.operation.threads import Threads
from mailgw.senderauth.hashes import hash_body, is_large
from mailgw.senderauth.key import Key
from mailgw.senderauth.signature import Signature, SignatureProblem, describe, parse_signature
from mailgw.senderauth.verification import KeyRecords, choose_key, fetch_keys, services_of, verify_signature

MAX_SIGNATURES = 5


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
        keys = await fetch_keys(self._resolver, {entry.key_name for entry in entries if isinstance(entry, Signature)})
        work = [(entry, keys[entry.key_name]) for entry in entries if isinstance(entry, Signature)]
        if work and is_large(message):
            verified = iter(await self._threads.run(self._verify_all, message, work))
        else:
            verified = iter(self._verify_all(message, work))
        outcomes = [entry if isinstance(entry, SignatureProblem) else next(verified) for entry in entries]
        return tuple(_result(outcome, describe(field)) for field, outcome in zip(fields, outcomes, strict=True))

    def _verify_all(
        self, message: Message, work: Sequence[tuple[Signature, KeyRecords]]
    ) -> list[SignatureProblem | Key]:
        """Verify what has a key. Gives the key of a good signature, or the problem of one that is not."""
        outcomes: list[SignatureProblem | Key] = []
        keys: list[Key | SignatureProblem] = []
        services = services_of(message)
        for signature, records in work:
            try:
                keys.append(choose_key(signature, records, services))
            except SignatureProblem as problem:
                keys.append(problem)
        wanted = {s.canonicalization[1] for (s, _), key in zip(work, keys, strict=True) if isinstance(key, Key)}
        bodies = hash_body(message, wanted)
        for (signature, _), key in zip(work, keys, strict=True):
            if isinstance(key, SignatureProblem):
                outcomes.append(key)
                continue
            try:
                verify_signature(message, signature, key, *bodies[signature.canonicalization[1]])
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
