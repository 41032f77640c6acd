"""The policy: evidence in, one verdict out. Pure, so that the same evidence can be judged again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from attrs import evolve, field, frozen

from mailgw.config.schema import Combination, Thresholds
from mailgw.mail.evidence import Evidence
from mailgw.mail.reply import Reply
from mailgw.mail.verdict import Action, Verdict, VerdictLine
from mailgw.verdict.combinations import combine

# When rules of several symbols hold, the first of these wins: a refusal tells the sender, so it goes before what is
# silent; what may pass later goes before what is delivered; and a spam rule before an inbox rule.
PRECEDENCE: tuple[Action, ...] = ("reject", "discard", "defer", "spam", "inbox")

NO_WEIGHT = "(no weight is set for this symbol)"
_MAX_DETAIL = 1000

# Refusals that say more than others, by the symbol whose hard rule decided. RFC 9989 7.2 and RFC 7208 8.4: a legitimate
# sender must see that it is DMARC or SPF, and a spammer learns only what the domain has published. The status codes are
# from RFC 7372 3.2 and 3.4.
_DMARC = Reply(550, "5.7.26", ("Message refused by the DMARC policy of its From domain",))
_SPF = Reply(550, "5.7.23", ("Message refused: the sender's domain does not allow this client (SPF)",))
_REFUSALS: Mapping[str, Reply] = {"DMARC_FAIL_REJECT": _DMARC, "DMARC_FAIL_QUARANTINE": _DMARC, "SPF_FAIL": _SPF}


@frozen
class Policy:
    """What evidence is worth (`weights`, by symbol), from which score what happens, and the hard rules: symbols that
    decide by themselves, whatever the score."""

    weights: Mapping[str, float]
    thresholds: Thresholds = field(factory=Thresholds)
    rules: Mapping[str, Action] = field(factory=dict)
    combinations: Mapping[str, Combination] = field(factory=dict)
    """What several symbols say together, by the symbol that it states."""


@frozen
class Outcome:
    """What was decided, by what.

    `threshold` is the one that was crossed (`spam`, `reject`, `outbound_reject`), or empty; `rule` is the symbol whose
    hard rule decided, or empty.
    """

    action: Action
    reason: str
    threshold: Literal["", "spam", "reject", "outbound_reject"] = ""
    rule: str = ""


def decide(
    evidence: Iterable[Evidence], policy: Policy, *, outbound: bool, reference: str = "", defer: str = ""
) -> Verdict:
    """Weigh the evidence and decide.

    `outbound` is for mail of authenticated users: it has a reject threshold of its own. `reference` is the id that
    a reply names, so that a sender can be helped. `defer` is a reason to answer 451 whatever the evidence says (a
    check that must not be left out has failed).

    A symbol counts once, however often it was stated (ten good signatures are worth no more than one): it is one
    line, with the greatest strength and all details. A symbol without a weight weighs 0 and says so. Lines stand in
    the order of what they did: hard rules by precedence, then from the most points to the fewest, so that the running
    total climbs to its peak and comes down to the score; equals by symbol. Points have two decimals, and the score
    is exactly their sum. A combination whose symbols are there is a line too, and takes the points of those that it
    counts `instead`, which say so.
    """
    lines = _total(sorted(combine(_lines(evidence, policy), policy), key=_order))
    score = lines[-1].total if lines else 0.0
    outcome = Outcome("defer", defer) if defer else find_outcome(lines, score, policy.thresholds, outbound=outbound)
    return Verdict(outcome.action, score, lines, outcome.reason, make_reply(outcome.action, reference, outcome.rule))


def find_outcome(lines: Sequence[VerdictLine], score: float, thresholds: Thresholds, *, outbound: bool) -> Outcome:
    """Say what these lines and this score lead to: a hard rule first, then the thresholds from the highest."""
    ruling = [line for line in lines if line.rule]
    if ruling:
        first = min(ruling, key=lambda line: _precedence(line.rule))
        action = PRECEDENCE[_precedence(first.rule)]
        return Outcome(action, f"the rule for {first.symbol} decides: {action}", rule=first.symbol)
    limit = thresholds.outbound_reject if outbound else thresholds.reject
    name: Literal["reject", "outbound_reject"] = "outbound_reject" if outbound else "reject"
    if score >= limit:
        return Outcome("reject", f"the score {score:.2f} reaches the {name} threshold {limit:.2f}", name)
    if score >= thresholds.spam:
        reason = f"the score {score:.2f} reaches the spam threshold {thresholds.spam:.2f}"
        return Outcome("spam", reason, "spam")
    return Outcome("inbox", f"the score {score:.2f} is below the spam threshold {thresholds.spam:.2f}")


def make_reply(action: Action, reference: str, rule: str = "") -> Reply | None:
    """Give what the client is told, or None when it gets its 250. But for DMARC and SPF (`rule` is the symbol whose
    hard rule decided), it never says which check it was: that would teach a spammer; the reference leads the
    postmaster to every line (features 4.11)."""
    suffix = f" (ref {reference})" if reference else ""
    if action == "reject" and rule in _REFUSALS:
        refusal = _REFUSALS[rule]
        return evolve(refusal, lines=(f"{refusal.lines[0]}{suffix}",))
    if action == "reject":
        return Reply(554, "5.7.1", (f"Message refused by the mail policy of this site{suffix}",))
    if action == "defer":
        return Reply(451, "4.7.1", (f"Message cannot be judged now, please try again later{suffix}",))
    return None


def _lines(evidence: Iterable[Evidence], policy: Policy) -> Iterable[VerdictLine]:
    """Make one line of each symbol, without a total yet."""
    by_symbol: dict[str, Evidence] = {}
    for piece in evidence:
        seen = by_symbol.get(piece.symbol)
        by_symbol[piece.symbol] = piece if seen is None else _merged(seen, piece)
    for symbol, piece in by_symbol.items():
        weight = policy.weights.get(symbol)
        detail = piece.detail
        if weight is None:
            weight = 0.0
            detail = f"{detail} {NO_WEIGHT}".lstrip()
        strength = _clamped(piece.strength)
        points = round(weight * strength * 100) / 100
        yield VerdictLine(
            symbol, detail, piece.source, weight, strength, points, 0.0, rule=policy.rules.get(symbol, "")
        )


def _merged(one: Evidence, other: Evidence) -> Evidence:
    details = one.detail if other.detail in one.detail else f"{one.detail}; {other.detail}".removeprefix("; ")
    sources = one.source if one.source == other.source else f"{one.source}, {other.source}"
    strength = max(_clamped(one.strength), _clamped(other.strength))
    return Evidence(one.symbol, details[:_MAX_DETAIL], strength, sources)


def _clamped(strength: float) -> float:
    """Bring a strength into 0.0 to 1.0; what is not a number counts nothing."""
    if 0.0 <= strength <= 1.0:
        return strength
    return 1.0 if strength > 1.0 else 0.0


def _order(line: VerdictLine) -> tuple[int, float, str]:
    return (_precedence(line.rule), -line.points, line.symbol)


def _precedence(rule: str) -> int:
    return PRECEDENCE.index(rule) if rule in PRECEDENCE else len(PRECEDENCE)


def _total(lines: Iterable[VerdictLine]) -> tuple[VerdictLine, ...]:
    """Put the running total in. It is counted in hundredths: a sum of floats would drift from what is shown."""
    total = 0
    totalled = []
    for line in lines:
        total += round(line.points * 100)
        totalled.append(evolve(line, total=total / 100))
    return tuple(totalled)
