"""The policy: evidence in, one verdict out. Pure, so that the same evidence can be judged again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from attrs import evolve, field, frozen

from mailgw.config.schema import Combination, Thresholds
from mailgw.mail.evidence import Evidence
from mailgw.mail.verdict import Action, Verdict, VerdictLine
from mailgw.verdict.combinations import combine
from mailgw.verdict.replies import make_reply

# When rules of several symbols hold, the first of these wins: a refusal tells the sender, so it goes before what is
# silent; what may pass later goes before what is delivered; and a spam rule before an inbox rule.
PRECEDENCE: tuple[Action, ...] = ("reject", "discard", "defer", "hold", "greylist", "spam", "inbox")

GREYLIST_PASSED = "GREYLIST_PASSED"
GREYLIST_WAIT = "GREYLIST_WAIT"
SYMBOLS: Mapping[str, float] = {GREYLIST_PASSED: 0.0, GREYLIST_WAIT: 0.0}
"""What greylisting answered, with default weights: the answer decides, it does not count."""

NO_WEIGHT = "(no weight is set for this symbol)"
_MAX_DETAIL = 1000

Threshold = Literal["", "greylist", "spam", "reject", "outbound_hold", "outbound_reject"]


@frozen
class Policy:
    """What evidence is worth (`weights`, by symbol), from which score what happens, and the hard rules: symbols that
    decide by themselves, whatever the score.

    `origins` says of each key that is not the site's (`thresholds.spam`, `scores.SYMBOL`, `rules.SYMBOL`) which
    section it is from.
    """

    weights: Mapping[str, float]
    thresholds: Thresholds = field(factory=Thresholds)
    rules: Mapping[str, Action] = field(factory=dict)
    combinations: Mapping[str, Combination] = field(factory=dict)
    """What several symbols say together, by the symbol that it states."""
    origins: Mapping[str, str] = field(factory=dict)


@frozen
class Outcome:
    """What was decided, by what.

    `threshold` is the one that was crossed, or empty; `rule` is the symbol whose hard rule decided, or empty.
    """

    action: Action
    reason: str
    threshold: Threshold = ""
    rule: str = ""


def decide(
    evidence: Iterable[Evidence], policy: Policy, *, outbound: bool, reference: str = "", defer: str = ""
) -> Verdict:
    """Weigh the evidence and decide.

    `outbound` is for mail of authenticated users: it has thresholds of its own. `reference` is the id that
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
    """Say what these lines and this score lead to: a hard rule first, then the thresholds from the highest.

    What greylisting answered is evidence too: with GREYLIST_PASSED nothing has to come again.
    """
    passed = any(line.symbol == GREYLIST_PASSED for line in lines)
    ruling = [line for line in lines if line.rule and not (passed and line.rule == "greylist")]
    if ruling:
        first = min(ruling, key=lambda line: _precedence(line.rule))
        action = PRECEDENCE[_precedence(first.rule)]
        return Outcome(action, f"the rule for {first.symbol} decides: {action}", rule=first.symbol)
    if outbound:
        return _outbound(score, thresholds)
    known = next((line.symbol for line in lines if line.symbol in thresholds.never_reject), "")
    if score >= thresholds.reject:
        if known:
            return Outcome("spam", f"{_reaches(score, 'reject', thresholds.reject)}, but {known} spares it", "spam")
        return Outcome("reject", _reaches(score, "reject", thresholds.reject), "reject")
    if score >= thresholds.spam:
        return Outcome("spam", _reaches(score, "spam", thresholds.spam), "spam")
    below = f"the score {score:.2f} is below the spam threshold {thresholds.spam:.2f}"
    if score >= thresholds.greylist:
        if not known and not passed:
            return Outcome("greylist", _reaches(score, "greylist", thresholds.greylist), "greylist")
        return Outcome("inbox", f"{below}, and {known or GREYLIST_PASSED} spares it greylisting")
    return Outcome("inbox", below)


def _outbound(score: float, thresholds: Thresholds) -> Outcome:
    if score >= thresholds.outbound_reject:
        return Outcome("reject", _reaches(score, "outbound_reject", thresholds.outbound_reject), "outbound_reject")
    if score >= thresholds.outbound_hold:
        return Outcome("hold", _reaches(score, "outbound_hold", thresholds.outbound_hold), "outbound_hold")
    return Outcome(
        "inbox", f"the score {score:.2f} is below the outbound_hold threshold {thresholds.outbound_hold:.2f}"
    )


def _reaches(score: float, name: str, limit: float) -> str:
    return f"the score {score:.2f} reaches the {name} threshold {limit:.2f}"


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
