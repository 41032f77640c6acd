"""The Authenticated Received Chain of a message (RFC 8617 4): its fields, read into sets and checked for structure."""

from __future__ import annotations

import re

from attrs import frozen

from mailgw.mail.message import Field, Message
from mailgw.senderauth.signature import (
    Signature,
    SignatureProblem,
    parse_message_signature,
    parse_seal,
    read_tags,
)

MAX_INSTANCES = 50  # RFC 8617 4.2.1 and 5.2
RESULTS, MESSAGE_SIGNATURE, SEAL = "arc-authentication-results", "arc-message-signature", "arc-seal"

_INSTANCE = re.compile(rb"[0-9]{1,2}")
# RFC 8617 4.1.1: i= stands first, with comments and space around its parts.
_CFWS = rb"(?:[ \t\r\n]|\((?:[^()\\]|\\.)*+\))*+"
_RESULTS_INSTANCE = re.compile(_CFWS + rb"i" + _CFWS + rb"=" + _CFWS + rb"([0-9]{1,2})" + _CFWS + rb";", re.S)
# A quoted pair, what opens and closes, and text between these.
_PART = re.compile(r'\\.|[()"\\]|[^()"\\]++', re.S)
_DMARC = re.compile(r";\s*dmarc\s*(?:/\s*1\s*)?=\s*([a-z]+)", re.I)

_Found = dict[tuple[str, int], tuple[Field, dict[str, bytes]]]


@frozen
class ArcSet:
    """What one sealer added."""

    instance: int
    fields: tuple[Field, Field, Field]
    """ARC-Authentication-Results, ARC-Message-Signature, ARC-Seal: in this order they are sealed (RFC 8617 5.1.1)."""
    message_signature: Signature | SignatureProblem
    seal: Signature

    @property
    def dmarc(self) -> str:
        """The result of DMARC that the sealer states, in lower case; empty when it states none."""
        found = [result.lower() for result in _DMARC.findall(_plain_text(self.fields[0].text))]
        return "fail" if "fail" in found else found[0] if found else ""


def parse_chain(message: Message, now: float) -> tuple[ArcSet, ...]:
    """Give the sets from the first to the newest; none when there is no chain. `now` is the wall clock.

    Raises SignatureProblem when the chain is broken whatever the keys are (RFC 8617 5.2, steps 1 to 3).
    """
    fields = [field for field in message.fields if field.key in (RESULTS, MESSAGE_SIGNATURE, SEAL)]
    if not fields:
        return ()
    if len(fields) > 3 * MAX_INSTANCES:
        raise SignatureProblem("fail", f"there are more than {MAX_INSTANCES} ARC sets")
    found: _Found = {}
    for field in fields:
        instance, tags = _read(field)
        if (field.key, instance) in found:
            raise SignatureProblem("fail", f"{field.name} i={instance} is there twice")
        found[field.key, instance] = field, tags
    count = max(instance for _, instance in found)
    _check_structure(found, count)
    return tuple(_arc_set(found, instance, count, now) for instance in range(1, count + 1))


def _read(field: Field) -> tuple[int, dict[str, bytes]]:
    """Give the instance and, but for the results, the tags."""
    if field.key == RESULTS:
        match = _RESULTS_INSTANCE.match(field.raw.partition(b":")[2])
        digits, tags = match.group(1) if match else b"", {}
    else:
        try:
            tags = read_tags(field)
        except SignatureProblem as problem:
            raise SignatureProblem("fail", f"{field.name}: {problem.reason}") from None
        digits = tags.get("i", b"")
    if not _INSTANCE.fullmatch(digits) or not 1 <= int(digits) <= MAX_INSTANCES:
        raise SignatureProblem("fail", f"{field.name} has no instance from 1 to {MAX_INSTANCES}")
    return int(digits), tags


def _check_structure(found: _Found, count: int) -> None:
    for instance in range(count, 0, -1):
        for key in (SEAL, MESSAGE_SIGNATURE, RESULTS):
            if (key, instance) not in found:
                raise SignatureProblem("fail", f"there is no {key} i={instance}")
        status = found[SEAL, instance][1].get("cv", b"")
        if status == b"fail":
            raise SignatureProblem("fail", f"the seal i={instance} says that the chain had failed")
        if status != (b"none" if instance == 1 else b"pass"):
            raise SignatureProblem("fail", f"cv= of the seal i={instance} is not what it must be")


def _arc_set(found: _Found, instance: int, count: int, now: float) -> ArcSet:
    try:
        seal = parse_seal(*found[SEAL, instance])
    except SignatureProblem as problem:
        raise SignatureProblem("fail", f"ARC-Seal i={instance}: {problem.reason}") from None
    message_signature: Signature | SignatureProblem
    try:
        message_signature = parse_message_signature(*found[MESSAGE_SIGNATURE, instance], now)
    except SignatureProblem as problem:
        # RFC 8617 5.2: only the newest must hold; what came before it may have been changed since.
        if instance == count:
            raise SignatureProblem("fail", f"ARC-Message-Signature i={instance}: {problem.reason}") from None
        message_signature = problem
    fields = (found[RESULTS, instance][0], found[MESSAGE_SIGNATURE, instance][0], found[SEAL, instance][0])
    return ArcSet(instance, fields, message_signature, seal)


def _plain_text(text: str) -> str:
    """Take out comments and quoted strings (RFC 5322 3.2), in which words mean nothing."""
    kept: list[str] = []
    depth, quoted = 0, False
    for part in _PART.findall(text):
        if part == '"' and not depth:
            quoted = not quoted
        elif not quoted and part in "()":
            depth = max(depth + (1 if part == "(" else -1), 0)
        elif not quoted and not depth:
            kept.append(part)
    return "".join(kept)
