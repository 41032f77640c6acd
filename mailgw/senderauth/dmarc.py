"""DMARC (RFC 9989): did the domain in From send this, and if not, what does it ask for?

The checks of SPF and DKIM have been done; their results come in as the Authentication-Results field has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import field, frozen

from mailgw.dns.interface import DnsFailure, Resolver
from mailgw.mail.address import AddressError, ascii_domain
from mailgw.mail.evidence import AuthResult
from mailgw.senderauth.dmarc_record import Policy, Record
from mailgw.senderauth.tree_walk import Applicable, TreeWalk

_ONE_LOWER: dict[Policy, Policy] = {"reject": "quarantine", "quarantine": "none", "none": "none"}


@frozen
class Identifier:
    """A domain that SPF or DKIM found to have sent the message (RFC 9989 3.2.1).

    When it has not `passed`, DNS did not tell: it may be one, or none. Its domain is empty where even that is unknown.
    """

    method: str
    domain: str
    passed: bool = True


@frozen
class DmarcResult:
    """The outcome for one Author Domain: an RFC 9989 9.2 `result`; `reason` is in plain words.

    `policy` is what applies to a message that fails, empty where it is not known; `policy_domain` has the `record`.
    `aligned` are the identifiers that are the Author Domain's: with one of them the message passes. `others` are not.
    """

    domain: str
    result: str
    reason: str = ""
    policy: Policy | None = None
    policy_domain: str = ""
    record: Record | None = field(default=None, repr=False)
    aligned: tuple[Identifier, ...] = ()
    others: tuple[Identifier, ...] = ()


class Dmarc:
    """Evaluates DMARC."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def check(self, authors: Iterable[str], auth: Sequence[AuthResult]) -> tuple[DmarcResult, ...]:
        """Give a result for each Author Domain (RFC 9989 11.5); `auth` are the results of SPF and DKIM."""
        walk = TreeWalk(self._resolver)
        found = tuple(identifiers(auth))
        return tuple([await _evaluate(walk, author, found) for author in authors])


def identifiers(auth: Sequence[AuthResult]) -> Iterator[Identifier]:
    """Give the domains that the results of SPF and DKIM may stand for, each once a method."""
    # RFC 9989 3.2.4: MAIL FROM alone counts. HELO stands in for it when the reverse-path is null (RFC 7208 2.4).
    helo = not any(result.method == "spf" and "smtp.mailfrom" in dict(result.properties) for result in auth)
    seen = set()
    for result in auth:
        if result.method not in ("spf", "dkim") or result.result not in ("pass", "temperror"):
            continue
        properties = dict(result.properties)
        if result.method == "dkim":
            text = properties.get("header.d", "")
        elif helo:
            text = properties.get("smtp.helo", "")
        else:
            text = properties.get("smtp.mailfrom", "").rpartition("@")[2]
        try:
            domain = ascii_domain(text).removesuffix(".")
        except AddressError:
            continue
        identifier = Identifier(result.method, domain, result.result == "pass")
        if (domain or not identifier.passed) and identifier not in seen:
            seen.add(identifier)
            yield identifier


async def _evaluate(walk: TreeWalk, author: str, found: Sequence[Identifier]) -> DmarcResult:
    try:
        applicable = await walk.find(author)
    except DnsFailure:
        return DmarcResult(author, "temperror", "DNS does not answer for the DMARC record")
    if applicable is None:
        return DmarcResult(author, "none", "there is no DMARC record")
    record = applicable.record
    if record.problem:  # RFC 9989 4.10.1: no DMARC processing
        result = "permerror" if record.malformed else "none"
        return DmarcResult(author, result, record.problem, None, applicable.domain, record)
    aligned, others, unknown = await _compare(walk, author, record, found)
    result, reason, policy = "pass" if aligned else "fail", "", None
    try:
        policy = await _policy(walk, author, applicable)
    except DnsFailure:
        unknown = unknown or f"DNS does not tell whether {author} exists"
    if unknown and not aligned:
        # RFC 9989 5.3.6: neither pass nor fail, and no policy is applied.
        result, reason, policy = "temperror", unknown, None
    return DmarcResult(author, result, reason, policy, applicable.domain, record, tuple(aligned), tuple(others))


async def _compare(
    walk: TreeWalk, author: str, record: Record, found: Sequence[Identifier]
) -> tuple[list[Identifier], list[Identifier], str]:
    """Give the identifiers that are aligned, those that are not, and what DNS left open: it may be the author's."""
    aligned: list[Identifier] = []
    others: list[Identifier] = []
    unknown = ""
    for identifier in found:
        strict = record.strict_spf if identifier.method == "spf" else record.strict_dkim
        alignment = await _is_aligned(walk, author, identifier.domain, strict=strict)
        if alignment is None or (alignment and not identifier.passed):
            unknown = f"DNS does not answer for {identifier.method.upper()} of {identifier.domain or 'the message'}"
        if identifier.passed:
            (aligned if alignment else others).append(identifier)
    return aligned, others, unknown


async def _is_aligned(walk: TreeWalk, author: str, domain: str, *, strict: bool) -> bool | None:
    """Tell whether an identifier is aligned (RFC 9989 4.10.2); None when DNS does not tell."""
    if not domain:
        return None
    if domain == author:
        return True
    # An Organizational Domain is the domain itself or one above it. So without a label in common there is none for
    # both, and none is asked for: what a stranger's name servers do costs nobody time.
    if strict or domain.rpartition(".")[2] != author.rpartition(".")[2]:
        return False
    try:
        organizational = await walk.organizational_domain(author)
        if domain != organizational and not domain.endswith(f".{organizational}"):
            return False
        return await walk.organizational_domain(domain) == organizational
    except DnsFailure:
        return None


async def _policy(walk: TreeWalk, author: str, applicable: Applicable) -> Policy:
    """Give the policy that applies (RFC 9989 4.10.1). Raises DnsFailure."""
    record = applicable.record
    if applicable.domain == author:
        policy = record.policy
    else:
        policy = record.policy_of_subdomain(exists=True)
        if policy != record.policy_of_subdomain(exists=False) and not await walk.exists(author):
            policy = record.policy_of_subdomain(exists=False)
    return _ONE_LOWER[policy] if record.testing else policy  # RFC 9989 4.7, t=
