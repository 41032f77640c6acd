"""What an aggregate report says of a message: how DMARC came out, and what became of the domain's wish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mailgw.mail.address import AddressError, ascii_domain
from mailgw.mail.dmarc import DmarcEvaluation
from mailgw.mail.evidence import AuthResult
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Action
from mailgw.reports.aggregate import DkimSeen, Reason, Record, SpfSeen

# RFC 9990 "DKIM Signatures in Aggregate Reports" says 100; no more than a few are verified.
_MAX_SIGNATURES = 20
_MAX_VALUE = 255
_STRENGTH = {"none": 0, "quarantine": 1, "reject": 2}
# What a verdict does to a message, in DMARC's words.
_DONE: dict[Action, str] = {
    "inbox": "none",
    "spam": "quarantine",
    "hold": "quarantine",
    "reject": "reject",
    "discard": "reject",
}
# Results whose reason tells the domain's owner what to mend, and names neither users nor messages.
_TELLING = ("fail", "permerror", "temperror")


def make_record(evaluation: DmarcEvaluation, transaction: Transaction, action: Action) -> Record:
    """Make the record of one message for one Author Domain; its count is 1."""
    disposition, reasons = disposed(evaluation, action)
    sender = transaction.envelope.reverse_path
    return Record(
        transaction.client.address,
        1,
        disposition,
        "pass" if evaluation.dkim else "fail",
        "pass" if evaluation.spf else "fail",
        evaluation.author,
        _domain(sender.domain) if sender is not None else "",
        reasons=tuple(reasons),
        dkim_seen=tuple(_signatures(evaluation, transaction.auth)),
        spf_seen=tuple(_spf(transaction.auth)),
    )


def disposed(evaluation: DmarcEvaluation, action: Action) -> tuple[str, Sequence[Reason]]:
    """Give the disposition, and the reasons why it is not what the domain publishes.

    The disposition is what DMARC did: never more than the domain asks for, whatever else may have refused the message
    (RFC 9990 "Disclosure of Filtering Information").
    """
    policy = evaluation.policy or "none"
    if evaluation.result == "pass":
        return ("none" if policy == "none" else "pass"), ()
    if evaluation.result != "fail":
        # RFC 9989 5.3.6: no policy is applied.
        return "none", [Reason("other", "DNS did not answer, so no policy was applied")]
    reasons = [Reason("policy_test_mode")] if _is_lowered(evaluation) else []
    if evaluation.exception:
        return "none", [*reasons, Reason("trusted_forwarder", evaluation.exception)]
    disposition = min(policy, _DONE.get(action, "none"), key=lambda word: _STRENGTH[word])
    if disposition != policy:
        reasons.append(Reason("local_policy"))
    return disposition, reasons


def _is_lowered(evaluation: DmarcEvaluation) -> bool:
    """Whether t=y made less of what would hold (RFC 9989 4.7)."""
    published = evaluation.published
    below = (published.subdomain_policy, published.nonexistent_policy)
    held = (published.policy,) if evaluation.author == published.domain else below
    return published.testing and any(policy != "none" for policy in held)


def _signatures(evaluation: DmarcEvaluation, auth: Iterable[AuthResult]) -> list[DkimSeen]:
    """RFC 9990 "DKIM Signatures in Aggregate Reports": the most telling first; one signature of a kind is enough."""
    seen: dict[DkimSeen, None] = {}
    for result in auth:
        properties = dict(result.properties)
        domain, selector = properties.get("header.d", ""), properties.get("header.s", "")
        if result.method == "dkim" and domain and selector:
            seen[DkimSeen(_domain(domain), selector[:_MAX_VALUE], result.result, _human(result))] = None

    def rank(signature: DkimSeen) -> int:
        if signature.result != "pass":
            return 3
        if signature.domain == evaluation.author:
            return 0
        # Near enough for an order: what is aligned shares the end of its name with the policy's domain.
        return 1 if f".{signature.domain}".endswith(f".{evaluation.published.domain}") else 2

    return sorted(seen, key=rank)[:_MAX_SIGNATURES]


def _spf(auth: Iterable[AuthResult]) -> Iterator[SpfSeen]:
    """The result for MAIL FROM; for the null reverse-path that is HELO's (RFC 7208 2.4)."""
    found: dict[str, SpfSeen] = {}
    for result in auth:
        properties = dict(result.properties)
        for identity in ("smtp.mailfrom", "smtp.helo"):
            if result.method == "spf" and identity in properties:
                domain = _domain(properties[identity].rpartition("@")[2])
                human = result.reason[:_MAX_VALUE] if result.result in ("permerror", "temperror") else ""
                found.setdefault(identity, SpfSeen(domain, result.result, "mfrom", human))
    if found:
        yield found.get("smtp.mailfrom") or found["smtp.helo"]


def _human(result: AuthResult) -> str:
    return result.reason[:_MAX_VALUE] if result.result in _TELLING else ""


def _domain(text: str) -> str:
    try:
        return ascii_domain(text)[:_MAX_VALUE]
    except AddressError:
        return text.lower()[:_MAX_VALUE]
