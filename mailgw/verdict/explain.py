"""A verdict for people (a table for a terminal) and for programs (JSON): every line, and what each one did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
from attrs import frozen

from mailgw.mail.evidence import AuthResult
from mailgw.mail.verdict import Action, Verdict, VerdictLine
from mailgw.verdict.policy import Outcome, Policy, find_outcome

_HEADINGS = ("symbol", "weight", "strength", "points", "total", "source", "detail")
_NUMBERS = range(1, 5)


@frozen
class Without:
    """What the verdict would have been without the line of one symbol; only kept where the action differs."""

    symbol: str
    action: Action
    score: float


@frozen
class Explanation:
    """A verdict beside what it was measured by.

    `crossed` is the threshold that decided, or empty. `forced` says that the action does not follow from the lines:
    a check failed that must not be left out, or took too long, or another recipient's verdict had to be heeded.
    `origins` are keys that are set for this recipient or user, with the section that sets them: of thresholds, and of
    the symbols that there are.
    """

    verdict: Verdict
    thresholds: tuple[tuple[str, float], ...]
    crossed: str
    forced: bool
    without: tuple[Without, ...]
    origins: tuple[tuple[str, str], ...] = ()


_INBOUND = ("greylist", "spam", "reject")
_OUTBOUND = ("outbound_hold", "outbound_reject")


def explain(verdict: Verdict, policy: Policy, *, outbound: bool) -> Explanation:
    """Say what decided, and which lines the action hangs on."""
    thresholds = policy.thresholds
    outcome = find_outcome(verdict.lines, verdict.score, thresholds, outbound=outbound)
    forced = outcome.action != verdict.action
    without = () if forced else tuple(_flips(verdict, policy, outbound))
    names = _OUTBOUND if outbound else _INBOUND
    limits: list[tuple[str, float]] = [(name, getattr(thresholds, name)) for name in names]
    told = {f"thresholds.{name}" for name in names}
    told |= {f"{part}.{line.symbol}" for line in verdict.lines for part in ("scores", "rules")}
    origins = tuple((key, section) for key, section in policy.origins.items() if key in told)
    return Explanation(verdict, tuple(limits), "" if forced else outcome.threshold, forced, without, origins)


def to_text(
    explanations: Sequence[Explanation], recipients: Sequence[Sequence[str]], auth: Sequence[AuthResult] = ()
) -> str:
    """Give the explanations of a message as lines for a terminal; `recipients` are whom each is for, which is said
    where there are several. What came with the message holds no control characters here."""
    parts: list[str] = []
    for explanation, names in zip(explanations, recipients, strict=True):
        if len(explanations) > 1:
            parts += [""] if parts else []
            parts.append(f"for      {_printable(', '.join(names))}")
        parts += _page(explanation, auth)
    return "\n".join(parts) + "\n"


def _page(explanation: Explanation, auth: Sequence[AuthResult]) -> list[str]:
    verdict = explanation.verdict
    parts = [f"verdict  {verdict.action}", f"reason   {_printable(verdict.reason)}"]
    if verdict.reply is not None:
        parts.append(f"reply    {_printable(str(verdict.reply))}")
    parts += [f"auth     {_auth_text(result)}" for result in auth]
    parts += ["", *_table(verdict.lines), ""]
    parts += [_threshold_text(name, limit, explanation) for name, limit in explanation.thresholds]
    parts += [f"{key} is set by [{section}]" for key, section in explanation.origins]
    for flip in explanation.without:
        parts.append(f"without {flip.symbol} the verdict would have been {flip.action} (score {flip.score:.2f})")
    return parts


def to_data(
    explanations: Sequence[Explanation], recipients: Sequence[Sequence[str]], auth: Sequence[AuthResult] = ()
) -> dict[str, Any]:
    """Give everything that is known, in types that JSON has: of the first verdict, with the others in `also`."""
    first, *others = (_data(explanation, names) for explanation, names in zip(explanations, recipients, strict=True))
    return first | {"auth": [attrs.asdict(result) for result in auth], "also": others}


def _data(explanation: Explanation, recipients: Sequence[str]) -> dict[str, Any]:
    verdict = explanation.verdict
    flips = {flip.symbol: flip for flip in explanation.without}
    return {
        "action": verdict.action,
        "score": verdict.score,
        "reason": verdict.reason,
        "recipients": list(recipients),
        "reply": None if verdict.reply is None else str(verdict.reply),
        "thresholds": dict(explanation.thresholds),
        "crossed": explanation.crossed or None,
        "forced": explanation.forced,
        "set_by": dict(explanation.origins),
        "lines": [
            attrs.asdict(line)
            | {"without": attrs.asdict(flips[line.symbol], filter=_no_symbol) if line.symbol in flips else None}
            for line in verdict.lines
        ],
    }


def to_json(
    explanations: Sequence[Explanation], recipients: Sequence[Sequence[str]], auth: Sequence[AuthResult] = ()
) -> str:
    """Give `to_data` as JSON in ASCII: what JSON lets stand may be a command to a terminal (U+009B)."""
    return json.dumps(to_data(explanations, recipients, auth), indent=2)


def _no_symbol(attribute: Any, _value: Any) -> bool:
    return bool(attribute.name != "symbol")


def _flips(verdict: Verdict, policy: Policy, outbound: bool) -> list[Without]:
    found = []
    total = round(verdict.score * 100)
    for line in verdict.lines:
        others = [other for other in verdict.lines if other is not line]
        score = (total - round(line.points * 100)) / 100
        outcome: Outcome = find_outcome(others, score, policy.thresholds, outbound=outbound)
        if outcome.action != verdict.action:
            found.append(Without(line.symbol, outcome.action, score))
    return found


def _table(lines: Sequence[VerdictLine]) -> list[str]:
    """Align the lines, numbers to the right; a hard rule says what it does in front of the detail."""
    if not lines:
        return ["no evidence"]
    rows = [_HEADINGS] + [
        (
            line.symbol,
            f"{line.weight:.2f}",
            f"{line.strength:.2f}",
            f"{line.points:.2f}",
            f"{line.total:.2f}",
            line.source,
            _printable(f"[rule: {line.rule}] {line.detail}" if line.rule else line.detail),
        )
        for line in lines
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEADINGS) - 1)]
    return [
        "  ".join(
            [*(row[n].rjust(w) if n in _NUMBERS else row[n].ljust(w) for n, w in enumerate(widths)), row[-1]]
        ).rstrip()
        for row in rows
    ]


def _threshold_text(name: str, limit: float, explanation: Explanation) -> str:
    away = (round(explanation.verdict.score * 100) - round(limit * 100)) / 100
    distance = f"reached, {away:.2f} above" if away >= 0 else f"not reached, {-away:.2f} short"
    decided = "  <- decided" if name == explanation.crossed else ""
    return f"threshold {name} {limit:.2f}: {distance}{decided}"


def _auth_text(result: AuthResult) -> str:
    properties = "".join(f" {name}={value}" for name, value in result.properties)
    reason = f" ({result.reason})" if result.reason else ""
    return _printable(f"{result.method}={result.result}{properties}{reason}")


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
