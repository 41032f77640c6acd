"""What DMARC's results are in the Authentication-Results field, as evidence, and for reports to the domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mailgw.mail.dmarc import DmarcEvaluation, PublishedPolicy
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.senderauth.dmarc import DmarcResult, Identifier
from mailgw.senderauth.dmarc_record import Record

SYMBOLS: Mapping[str, float] = {
    "DMARC_PASS": -0.5,
    # RFC 9989 7.4: without other knowledge, quarantine. It reaches the spam threshold even if SPF and DKIM pass for
    # domains of no concern, and what else is known can outweigh it.
    "DMARC_FAIL_REJECT": 6.5,
    "DMARC_FAIL_QUARANTINE": 3.0,
    "DMARC_FAIL_NONE": 0.5,
    "DMARC_EXCEPTION": 0.0,
    "DMARC_NONE": 0.0,
    "DMARC_PERMERROR": 0.0,
    "DMARC_TEMPERROR": 0.0,
    "DMARC_FROM_INVALID": 2.0,
}

# RFC 9989 11.5: of several authors, the most strict policy of those that fail.
_ORDER = (
    "DMARC_FAIL_REJECT",
    "DMARC_FAIL_QUARANTINE",
    "DMARC_FAIL_NONE",
    "DMARC_TEMPERROR",
    "DMARC_PERMERROR",
    "DMARC_NONE",
    "DMARC_PASS",
)


def trusted_forwarder(auth: Iterable[AuthResult], trusted: frozenset[str], sealers: Sequence[str]) -> str:
    """Name what lets us trust whoever passed the message on: a good signature of one of the `trusted` domains, or
    one of the `sealers`, which are the trusted ones of a valid ARC chain. Empty when nothing does."""
    for result in auth:
        domain = dict(result.properties).get("header.d", "")
        if result.method == "dkim" and result.result == "pass" and domain in trusted:
            return f"the DKIM signature of {domain}"
    return f"the ARC seal of {sealers[0]}" if sealers else ""


def auth_results(results: Iterable[DmarcResult], exception: str) -> tuple[AuthResult, ...]:
    """Write the results as RFC 9989 9.1 has them. `exception` is from `trusted_forwarder`."""
    return tuple(_auth_result(result, exception) for result in results)


def _auth_result(result: DmarcResult, exception: str) -> AuthResult:
    properties = [("header.from", result.domain)]
    if result.policy is not None:
        properties.append(("policy.dmarc", result.policy))
    reason = result.reason if result.result != "none" else ""
    if result.result == "fail" and exception:
        reason = f"excepted by {exception}"
    return AuthResult("dmarc", result.result, tuple(properties), reason)


def evidence(results: Sequence[DmarcResult], exception: str) -> tuple[Evidence, ...]:
    """State the worst of the results. A fail with an exception is only the exception."""
    if not results:
        return ()
    worst = min(results, key=lambda result: _ORDER.index(_symbol(result)))
    if worst.result == "fail" and exception:
        detail = f"{exception} lets this pass: {_fail(worst)}"
        return (Evidence("DMARC_EXCEPTION", detail, source="dmarc"),)
    if worst.result == "fail":
        detail = _fail(worst)
    elif worst.result == "pass":
        detail = f"{worst.domain} sent this: {_named(worst.aligned)}"
    else:
        detail = f"{worst.domain}: {worst.reason}"
    return (Evidence(_symbol(worst), detail, source="dmarc"),)


def evaluations(results: Iterable[DmarcResult], exception: str) -> tuple[DmarcEvaluation, ...]:
    """Give what each policy that was found came to. `exception` is from `trusted_forwarder`."""
    return tuple(
        DmarcEvaluation(
            result.domain,
            _published(result.policy_domain, result.record),
            result.result,
            result.policy or "",
            dkim=any(identifier.method == "dkim" for identifier in result.aligned),
            spf=any(identifier.method == "spf" for identifier in result.aligned),
            exception=exception if result.result == "fail" else "",
        )
        for result in results
        if result.record is not None and not result.record.problem
    )


def _published(domain: str, record: Record) -> PublishedPolicy:
    return PublishedPolicy(
        domain,
        record.policy,
        record.policy_of_subdomain(exists=True),
        record.policy_of_subdomain(exists=False),
        record.strict_dkim,
        record.strict_spf,
        record.testing,
        record.rua,
    )


def _symbol(result: DmarcResult) -> str:
    if result.result == "fail":
        return f"DMARC_FAIL_{(result.policy or 'none').upper()}"
    return f"DMARC_{result.result.upper()}"


def _fail(result: DmarcResult) -> str:
    asks = {"reject": "asks for refusal", "quarantine": "asks for quarantine"}.get(result.policy or "", "asks nothing")
    testing = ", testing" if result.record is not None and result.record.testing else ""
    whose = "" if result.policy_domain == result.domain else f", policy of {result.policy_domain}"
    passed = f"{_named(result.others)} only" if result.others else "neither SPF nor DKIM passes"
    return f"{result.domain} did not send this ({passed}) and {asks}{testing}{whose}"


def _named(found: Iterable[Identifier]) -> str:
    return ", ".join(f"{identifier.method.upper()} of {identifier.domain}" for identifier in found)
