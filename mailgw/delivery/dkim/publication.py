"""Whether DNS holds the public halves of our keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from attrs import frozen

from mailgw.delivery.dkim.keys import StoredKey
from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.senderauth.key import load_public, public_octets
from mailgw.senderauth.signature import SignatureProblem
from mailgw.senderauth.tags import parse_tags, split_list, without_space
from mailgw.senderauth.verification import KeyRecords, fetch_keys

# RFC 1035 3.3.14: a TXT record is made of strings of at most 255 octets.
_STRING = 255


@frozen
class Publication:
    """What DNS says of a key. `text` says it in words, empty when all is well."""

    stored: StoredKey
    status: Literal["published", "missing", "revoked", "other", "invalid", "unknown"]
    text: str = ""
    for_tls_reports: bool = True
    """Whether the record lets it sign reports on TLS (RFC 8460 3)."""


async def look_up(keys: Sequence[StoredKey], resolver: Resolver) -> tuple[Publication, ...]:
    """Ask for the records of all keys at once. Raises nothing."""
    found = await fetch_keys(resolver, {stored.name for stored in keys})
    return tuple(compare(stored, found[stored.name]) for stored in keys)


def compare(stored: StoredKey, records: KeyRecords) -> Publication:
    """Compare a key with what DNS holds under its name."""
    if isinstance(records, DnsFailure):
        return Publication(stored, "unknown", f"DNS does not answer: {records}")
    if not records:
        return Publication(stored, "missing", "there is no TXT record")
    if len(records) > 1:
        # RFC 6376 3.6.2.2: what a verifier makes of several is not defined.
        return Publication(stored, "invalid", f"there are {len(records)} TXT records; leave the right one only")
    try:
        tags = parse_tags(records[0])
    except ValueError as error:
        return Publication(stored, "invalid", f"the record is not a list of tag=value: {error}")
    if "p" in tags and not without_space(tags["p"]):
        return Publication(stored, "revoked", "the record says that the key is revoked (an empty p=)")
    problem = next(_problems(stored, tags), "")
    if problem:
        return Publication(stored, "invalid", problem)
    try:
        published = public_octets(load_public(tags["p"], stored.algorithm))
    except SignatureProblem as error:
        return Publication(stored, "invalid", str(error))
    if published != stored.key.public_octets:
        return Publication(stored, "other", "the record holds another key than the file")
    if b"y" in split_list(tags.get("t", b"")):
        return Publication(stored, "published", "marked as a test (t=y): receivers ignore signatures that fail")
    return Publication(stored, "published", for_tls_reports=not {b"*", b"tlsrpt"}.isdisjoint(_services(tags)))


def _problems(stored: StoredKey, tags: dict[str, bytes]) -> Iterator[str]:
    """RFC 6376 3.6.1."""
    if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != b"DKIM1"):
        yield "v=DKIM1 does not stand at the record's start"
    if "p" not in tags:
        yield "the record has no p="
    wanted = stored.algorithm.partition("-")[0]
    kind = tags.get("k", b"rsa").decode("ascii", "replace")
    if kind != wanted:
        yield f"the record is for {kind} (k=), and the key is for {wanted}"
    if "h" in tags and b"sha256" not in split_list(tags["h"]):
        yield "the record does not allow sha256 (h=)"
    if not {b"*", b"email"} & _services(tags):
        yield "the record does not allow mail (s=)"


def _services(tags: dict[str, bytes]) -> set[bytes]:
    return set(split_list(tags.get("s", b"*")))


def zone_line(stored: StoredKey) -> str:
    """Write the record as a zone file has it, in strings of at most 255 octets."""
    text = stored.record
    strings = [f'"{text[start : start + _STRING]}"' for start in range(0, len(text), _STRING)]
    if len(strings) == 1:
        return f"{stored.name}. IN TXT {strings[0]}"
    return "\n    ".join((f"{stored.name}. IN TXT (", *strings)) + " )"
