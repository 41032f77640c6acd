"""What the fields that sign say, read strictly enough to classify what is wrong with them: DKIM-Signature
(RFC 6376 3.5), ARC-Message-Signature and ARC-Seal (RFC 8617 4.1).
"""

from __future__ import annotations

import base64
import binascii
import re

from attrs import evolve, frozen

from mailgw.mail.address import AddressError, ascii_domain
from mailgw.mail.message import Field
from mailgw.senderauth.tags import parse_tags, split_list, without_space

MAX_SIGNATURE = 8192
MAX_TAG = 320
MAX_SIGNED_FIELDS = 200
# Clocks of senders are wrong by hours, not by days.
CLOCK_SKEW = 36000

_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_UNPRINTABLE = re.compile(r"[^ -~]")
# Lines with nothing but space within a folded value (obsolete, RFC 5322 4.2), and controls: no signer writes them,
# and dkimpy's patterns take quadratic time over them.
_UNWANTED = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\r\n[ \t]*(?=\r\n.)", re.S)


class SignatureProblem(Exception):
    """Why a signature cannot be verified: an RFC 8601 2.7.1 `result`, and a `reason` in plain words."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


@frozen
class Signature:
    """A field that can be verified with a key. An ARC-Seal covers no field by its name, and no body."""

    field: Field
    unsigned: bytes
    """Its value as received, with the value of b= taken out: what the signature covers (RFC 6376 3.7)."""
    domain: str
    selector: str
    algorithm: str
    data: bytes
    """The b= tag, decoded."""
    canonicalization: tuple[str, str]
    """Of header and body: `simple` or `relaxed`."""
    signed: tuple[str, ...] = ()
    """The names in h=, in lower case."""
    body_hash: bytes = b""
    length: int | None = None
    """The l= tag: how many octets of the body are signed."""
    identity: str = ""
    """The i= tag of DKIM, or empty. (In ARC, i= is the instance.)"""

    @property
    def key_name(self) -> str:
        """The name of the key record in DNS (RFC 6376 3.6.2.1, in A-labels: RFC 8616 5)."""
        return f"{self.selector}._domainkey.{ascii_domain(self.domain)}"


def describe(field: Field) -> dict[str, str]:
    """Give the tags a, b, d, i and s as printable text, as far as they can be read: to report on the signature."""
    found: dict[str, str] = {}
    for spec in field.raw[:MAX_SIGNATURE].partition(b":")[2].split(b";"):
        name, _, content = spec.partition(b"=")
        tag = name.strip().decode("ascii", "replace")
        if tag in ("a", "b", "d", "i", "s"):
            text = without_space(content).decode("utf-8", "replace")[:MAX_TAG]
            found.setdefault(tag, text if text.isprintable() else _UNPRINTABLE.sub("?", text))
    return found


def parse_signature(field: Field, now: float) -> Signature:
    """Take a DKIM-Signature field; `now` is the wall clock. Raises SignatureProblem."""
    tags = read_tags(field)
    _require(tags, "v", "a", "b", "bh", "d", "h", "s")
    if tags["v"] != b"1":
        raise SignatureProblem("neutral", "the version is not 1")
    signature = _message_signature(field, tags, now)
    if "from" not in signature.signed:
        # RFC 6376 5.4: a signature that does not cover From says nothing about the author.
        raise SignatureProblem("permerror", "the From field is not signed")
    return evolve(signature, identity=_identity(tags, signature.domain))


def parse_message_signature(field: Field, tags: dict[str, bytes], now: float) -> Signature:
    """Take an ARC-Message-Signature (RFC 8617 4.1.2): as DKIM's, without v=, and h= may be empty.

    Raises SignatureProblem.
    """
    _require(tags, "a", "b", "bh", "d", "s")
    if "h" not in tags:
        raise SignatureProblem("fail", "the tag h= is missing")
    # Without c=, other validators and their suite take relaxed here, where DKIM has simple.
    signature = _message_signature(field, {"c": b"relaxed/relaxed", **tags}, now)
    if "arc-seal" in signature.signed:
        raise SignatureProblem("fail", "ARC-Seal must not be signed")
    return signature


def parse_seal(field: Field, tags: dict[str, bytes]) -> Signature:
    """Take an ARC-Seal (RFC 8617 4.1.3). Raises SignatureProblem."""
    _require(tags, "a", "b", "d", "s")
    if "h" in tags:
        raise SignatureProblem("fail", "the tag h= must not be there")
    domain, selector = _signer(tags)
    _number(tags, "t")
    return Signature(
        field=field,
        unsigned=_without_signature(field.raw.partition(b":")[2]),
        domain=domain,
        selector=selector,
        algorithm=_algorithm(tags),
        data=_base64(tags, "b"),
        canonicalization=("relaxed", "relaxed"),
    )


def read_tags(field: Field) -> dict[str, bytes]:
    """Give the tags of a field that signs. Raises SignatureProblem."""
    value = field.raw.partition(b":")[2]
    if len(value) > MAX_SIGNATURE:
        raise SignatureProblem("neutral", f"the signature field is longer than {MAX_SIGNATURE} octets")
    if _UNWANTED.search(value):
        raise SignatureProblem("neutral", "the signature field holds control characters or empty lines")
    try:
        return parse_tags(value)
    except ValueError as error:
        raise SignatureProblem("neutral", str(error)) from None


def _require(tags: dict[str, bytes], *names: str) -> None:
    for tag in names:
        if not tags.get(tag):
            raise SignatureProblem("neutral", f"the tag {tag}= is missing")


def _message_signature(field: Field, tags: dict[str, bytes], now: float) -> Signature:
    """What DKIM-Signature and ARC-Message-Signature share."""
    domain, selector = _signer(tags)
    signed = _signed_fields(tags["h"])
    _check_times(tags, now)
    if b"dns/txt" not in split_list(tags.get("q", b"dns/txt")):
        raise SignatureProblem("neutral", "the key is not to be had from DNS")
    return Signature(
        field=field,
        unsigned=_without_signature(field.raw.partition(b":")[2]),
        domain=domain,
        selector=selector,
        algorithm=_algorithm(tags),
        data=_base64(tags, "b"),
        canonicalization=_canonicalization(tags),
        signed=signed,
        body_hash=_base64(tags, "bh"),
        length=_number(tags, "l"),
    )


def _text(tags: dict[str, bytes], tag: str) -> str:
    try:
        return without_space(tags.get(tag, b"")).decode("utf-8")
    except UnicodeDecodeError:
        raise SignatureProblem("neutral", f"{tag}= is not UTF-8") from None


def _signer(tags: dict[str, bytes]) -> tuple[str, str]:
    """Give domain and selector."""
    domain, selector = _text(tags, "d").lower(), _text(tags, "s").lower()
    try:
        valid = _DOMAIN.fullmatch(ascii_domain(domain)) and _DOMAIN.fullmatch(selector)
    except AddressError:
        valid = None
    if not valid:
        raise SignatureProblem("neutral", "d= or s= is not a domain name")
    return domain, selector


def _identity(tags: dict[str, bytes], domain: str) -> str:
    identity = _text(tags, "i")
    host = identity.rpartition("@")[2].lower()
    if identity and ("@" not in identity or not (host == domain or host.endswith("." + domain))):
        raise SignatureProblem("permerror", "the domain of i= is not in that of d=")
    return identity


def _signed_fields(value: bytes) -> tuple[str, ...]:
    names = [name.decode("ascii", "replace").lower() for name in split_list(value)]
    if len(names) > MAX_SIGNED_FIELDS:
        raise SignatureProblem("neutral", f"more than {MAX_SIGNED_FIELDS} fields are signed")
    return tuple(names)


def _check_times(tags: dict[str, bytes], now: float) -> None:
    signed, expires = _number(tags, "t"), _number(tags, "x")
    if signed is not None and signed > now + CLOCK_SKEW:
        raise SignatureProblem("policy", "the signature is dated in the future")
    if expires is not None and expires < now:
        raise SignatureProblem("policy", "the signature has expired")
    if signed is not None and expires is not None and expires < signed:
        raise SignatureProblem("neutral", "x= is before t=")


def _algorithm(tags: dict[str, bytes]) -> str:
    algorithm = tags["a"].decode("ascii", "replace")
    if algorithm == "rsa-sha1":
        raise SignatureProblem("policy", "rsa-sha1 is no longer accepted (RFC 8301)")
    if algorithm not in ("rsa-sha256", "ed25519-sha256"):
        raise SignatureProblem("neutral", "the algorithm is unknown")
    return algorithm


def _canonicalization(tags: dict[str, bytes]) -> tuple[str, str]:
    header, _, body = tags.get("c", b"simple/simple").decode("ascii", "replace").partition("/")
    body = body or "simple"
    if header not in ("simple", "relaxed") or body not in ("simple", "relaxed"):
        raise SignatureProblem("neutral", "the canonicalization is unknown")
    return header, body


def _number(tags: dict[str, bytes], tag: str) -> int | None:
    if tag not in tags:
        return None
    if not tags[tag].isdigit() or len(tags[tag]) > 76:  # RFC 6376 3.5: l= may have 76 digits
        raise SignatureProblem("neutral", f"{tag}= is not a number")
    return int(tags[tag])


def _base64(tags: dict[str, bytes], tag: str) -> bytes:
    try:
        return base64.b64decode(without_space(tags[tag]), validate=True)
    except binascii.Error:
        raise SignatureProblem("neutral", f"{tag}= is not base64") from None


def _without_signature(value: bytes) -> bytes:
    """Take out the value of b= with the space around it (RFC 6376 3.7)."""
    specs = value.split(b";")
    for n, spec in enumerate(specs):
        name, _, _ = spec.partition(b"=")
        if name.strip() == b"b":
            specs[n] = name + b"="
    return b";".join(specs)
