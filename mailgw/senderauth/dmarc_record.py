"""The DMARC Policy Record (RFC 9989 4.7, 4.8): what a domain asks of those who receive mail in its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from attrs import frozen

Policy = Literal["none", "quarantine", "reject"]
Psd = Literal["y", "n", "u"]

# Real records stay below 1,000 octets; DNS would carry 64 KB.
MAX_RECORD = 8192
MAX_URIS = 20

# RFC 9989 4.8 dmarc-version, with the space that DKIM's syntax (4.7; RFC 6376 3.2) allows in front. DMARC1 is in
# capitals, and nothing but a semicolon may follow.
_VERSION = re.compile(rb"\s*[vV]\s*=\s*DMARC1\s*(?:;|\Z)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@$&'()*+;=%-]+")  # RFC 3986; 4.8: no comma, no `!`
_POLICY_TAGS = ("p", "sp", "np")
_POLICIES: Mapping[str, Policy] = {"none": "none", "quarantine": "quarantine", "reject": "reject"}


@frozen
class Record:
    """A record as far as receivers of mail go. Tags that are unknown or historic (`pct`, `rf`, `ri`) are not kept,
    nor are those of failure reports, which would tell strangers about our users' mail.

    `policy`, `subdomain_policy` and `nonexistent_policy` are p=, sp= and np=; None stands for a tag that is not
    there. With a `problem` the record asks for nothing, and `malformed` tells whether its owner wrote it wrong.
    """

    policy: Policy = "none"
    subdomain_policy: Policy | None = None
    nonexistent_policy: Policy | None = None
    psd: Psd = "u"
    strict_dkim: bool = False
    strict_spf: bool = False
    testing: bool = False
    rua: tuple[str, ...] = ()
    problem: str = ""
    malformed: bool = False

    def policy_of_subdomain(self, *, exists: bool) -> Policy:
        """Give the policy for names below the one that has the record (RFC 9989 4.7, np and sp)."""
        below = self.subdomain_policy or self.policy
        return below if exists else self.nonexistent_policy or below


def is_record(text: bytes) -> bool:
    """Whether a TXT record is one of DMARC: what it says may still be wrong."""
    return bool(_VERSION.match(text))


def find_record(texts: Iterable[object]) -> Record | None:
    """Take the TXT records of a name. None when none of them is a DMARC record, or several are (RFC 9989 4.10)."""
    found = _records(texts)
    return parse_record(found[0]) if len(found) == 1 else None


def find_permission(texts: Iterable[object]) -> tuple[str, ...] | None:
    """Take the TXT records with which a destination agrees to reports about a domain (RFC 9990 "Verifying External
    Destinations"). Give the URIs that it wants in place of its own, mostly none; None when it does not agree."""
    found = [parse_record(text) for text in _records(texts)]
    return tuple(uri for record in found for uri in record.rua) if found else None


def _records(texts: Iterable[object]) -> list[bytes]:
    return [text for text in texts if isinstance(text, bytes) and is_record(text)]


def parse_record(text: bytes) -> Record:
    """Take a record that begins with its version. Never raises.

    RFC 9989 4.8: what is wrong is passed over, in favour of the default; of a tag that is there twice, the second.
    Only where a policy is wrong would a default mean something else than its owner wanted, so 4.10.1 has rules.
    """
    if len(text) > MAX_RECORD:
        return Record(problem=f"the record is longer than {MAX_RECORD} octets", malformed=True)
    tags: dict[str, str] = {}
    for part in text.decode("latin-1").split(";")[1:]:
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    rua = _uris(tags["rua"]) if "rua" in tags else ()
    policies = {tag: tags[tag].lower() for tag in _POLICY_TAGS if tag in tags}
    right = {tag: _POLICIES[value] for tag, value in policies.items() if value in _POLICIES}
    problem, malformed = "", False
    if "p" not in right or len(right) < len(policies):
        # RFC 9989 4.10.1: where p= is missing, or one of the three is wrong, someone who wants reports gets them with
        # p=none, and for others the record does nothing.
        if not rua:
            wrong = [f"{tag}={value[:20]!a}" for tag, value in policies.items() if tag not in right]
            malformed = bool(wrong)
            problem = f"the record has {', '.join(wrong)}: no policy" if wrong else "the record has no policy (p=)"
        right = {"p": "none"}
    psd = tags.get("psd", "").lower()
    return Record(
        right["p"],
        right.get("sp"),
        right.get("np"),
        psd="y" if psd == "y" else "n" if psd == "n" else "u",
        strict_dkim=tags.get("adkim", "").lower() == "s",
        strict_spf=tags.get("aspf", "").lower() == "s",
        testing=tags.get("t", "").lower() == "y",
        rua=rua,
        problem=problem,
        malformed=malformed,
    )


def _uris(value: str) -> tuple[str, ...]:
    """Give the URIs that are well formed, without the size that RFC 7489 allowed behind a `!` (RFC 9989 4.8)."""
    uris = (uri.strip().partition("!")[0] for uri in value.split(","))
    good = [uri for uri in uris if _URI.fullmatch(uri) and (uri[:7].lower() != "mailto:" or "@" in uri)]
    return tuple(good[:MAX_URIS])
