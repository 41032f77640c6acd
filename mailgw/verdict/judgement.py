"""Verdicts of one message for its recipients, and what SMTP makes of them, which has one reply for all."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from mailgw.mail.evidence import Evidence
from mailgw.mail.verdict import Action, Verdict
from mailgw.verdict.policies import Owners
from mailgw.verdict.policy import Policy


@frozen
class Judged:
    """The verdict for some recipients of a message (their positions in the envelope), by the policy that is theirs.

    `answers` is evidence that holds for them alone: what greylisting said. `owners` are the addresses that each of them
    goes by, where more is known than the envelope says.
    """

    verdict: Verdict
    recipients: tuple[int, ...]
    policy: Policy
    answers: tuple[Evidence, ...] = ()
    owners: Sequence[Owners] = ()


# From what is said first to what is said last, where a message is taken for nobody: what may pass later must not be
# refused for good.
_LATER: tuple[Action, ...] = ("defer", "greylist", "reject")


def for_one_reply(judged: Sequence[Judged]) -> Sequence[Judged]:
    """Bring the verdicts together, so that one reply is true for all: either all take the message, or nobody does.

    Behind the data SMTP cannot refuse a message for some of its recipients, and to send it back later would hit who
    was forged as its sender. So, when some take it: whose score refuses it gets it into the spam folder, for whom a
    rule refuses it it is held, and nobody has to wait for a greylisted one. When it cannot be judged (defer), or
    nobody takes it, all get the same reply. LMTP has a reply for each, and needs none of this.
    """
    if len(judged) < 2:
        return judged
    deferred = [one for one in judged if one.verdict.action == "defer"]
    if not deferred and any(one.verdict.reply is None for one in judged):
        return [one if one.verdict.reply is None else evolve(one, verdict=_taken(one)) for one in judged]
    told = min(judged, key=lambda one: _LATER.index(one.verdict.action) if one.verdict.action in _LATER else 9).verdict
    return [
        one if one.verdict.action == told.action else evolve(one, verdict=_together(one.verdict, told))
        for one in judged
    ]


def _taken(one: Judged) -> Verdict:
    """What becomes of a copy that would be refused, when others take the message."""
    verdict = one.verdict
    action: Action = "spam" if verdict.score >= one.policy.thresholds.spam else "inbox"
    if any(line.rule == "reject" for line in verdict.lines):
        action = "hold"
    reason = f"{verdict.reason}: {verdict.action}; but other recipients take it, and SMTP has one reply: {action}"
    return Verdict(action, verdict.score, verdict.lines, reason)


def _together(verdict: Verdict, told: Verdict) -> Verdict:
    reason = (
        f"{verdict.reason}: {verdict.action}; but for another recipient it is {told.action}, and SMTP has one reply"
    )
    return evolve(verdict, action=told.action, reason=reason, reply=told.reply)
