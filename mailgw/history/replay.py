"""Judging kept evidence again, by another policy: which messages would have gone another way. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from attrs import define, evolve, field, frozen

from mailgw.history.kept import Facts, KeptVerdict
from mailgw.history.search import Row
from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.verdict import Action
from mailgw.verdict.concerned import concerning, divide
from mailgw.verdict.judgement import Judged, for_one_reply
from mailgw.verdict.policies import Policies
from mailgw.verdict.policy import decide

# From what is best for who receives it to what is worst.
_RANK: tuple[Action, ...] = ("inbox", "greylist", "spam", "hold", "discard", "defer", "reject")
# Whose mail went to the inbox so often has written before.
_REGULAR = 3


@frozen
class Flip:
    """A message that would have gone another way for some recipients. `risks` say why that may be wrong."""

    row: Row
    recipients: tuple[str, ...]
    old: Action
    new: Action
    old_score: float
    new_score: float
    reason: str
    risks: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return f"{self.old} -> {self.new}"

    @property
    def is_worse(self) -> bool:
        """Whether it would be taken from its recipient."""
        return _RANK.index(self.new) > _RANK.index(self.old)


@define
class Replay:
    """Takes messages with `judge`; then `finish` gives those that would have gone another way."""

    policies: Policies
    judged: int = 0
    """Messages that could be judged again."""
    left_out: int = 0
    """Those that could not: without verdict, or deferred because a check had failed."""
    kinds: Counter[str] = field(factory=Counter)
    _found: list[Flip] = field(factory=list)
    _regulars: Counter[str] = field(factory=Counter)

    KNOWN: ClassVar[str] = "a known correspondent"

    def judge(self, row: Row, facts: Facts | None) -> None:
        """Judge a message again."""
        if facts is None or not facts.verdicts or any(_is_forced(kept) for kept in facts.verdicts):
            self.left_out += 1
            return
        self.judged += 1
        try:
            again = _judge(facts, self.policies)
        except AddressError:
            self.left_out += 1
            return
        old = {number: kept for kept in facts.verdicts for number in kept.recipients}
        new = {number: judged for judged in again for number in judged.recipients}
        changed: dict[tuple[Action, Action], list[int]] = {}
        for number, kept in old.items():
            if number in new and new[number].verdict.action != kept.verdict.action:
                changed.setdefault((kept.verdict.action, new[number].verdict.action), []).append(number)
        for (was, becomes), numbers in changed.items():
            first = numbers[0]
            self.kinds[f"{was} -> {becomes}"] += 1
            recipients = tuple(facts.recipients[number] for number in numbers)
            verdict = new[first].verdict
            never = self.policies.site.thresholds.never_reject
            risks = (self.KNOWN,) if any(piece.symbol in never for piece in facts.evidence) else ()
            self._found.append(
                Flip(row, recipients, was, becomes, old[first].verdict.score, verdict.score, verdict.reason, risks)
            )
        if not changed and row.action == "inbox" and row.sender:
            self._regulars[row.sender] += 1

    def finish(self, was_released: Callable[[str], bool]) -> list[Flip]:
        """Give the flips, those at risk of being wrong first. `was_released` tells of a message's id whether somebody
        released it from quarantine."""
        flips = [evolve(flip, risks=self._risks(flip, was_released)) for flip in self._found]
        return sorted(flips, key=lambda flip: (not flip.risks, flip.row.time))

    def _risks(self, flip: Flip, was_released: Callable[[str], bool]) -> tuple[str, ...]:
        if not flip.is_worse:
            return ()
        risks = list(flip.risks)
        if was_released(flip.row.id):
            risks.append("it was released from quarantine")
        regular = self._regulars[flip.row.sender]
        if regular >= _REGULAR:
            risks.append(f"{regular} others of this sender went to the inbox")
        return tuple(risks)


def _is_forced(kept: KeptVerdict) -> bool:
    """Whether a check had failed: then the evidence is not all."""
    return kept.verdict.action == "defer" and all(line.rule != "defer" for line in kept.verdict.lines)


def _judge(facts: Facts, policies: Policies) -> list[Judged]:
    """Raises AddressError."""
    outbound = bool(facts.client.identity)
    answers = {number: kept.answers for kept in facts.verdicts for number in kept.recipients}
    everybody = tuple(range(len(facts.recipients)))
    if outbound:
        groups = [(policies.of_user(facts.client.identity), everybody)]
    else:
        known = {n: names for kept in facts.verdicts for n, names in zip(kept.recipients, kept.owners, strict=False)}
        owners = [known.get(number, (text,)) for number, text in enumerate(facts.recipients)]
        groups = policies.groups([[Mailbox.parse(text) for text in texts] for texts in owners])
        groups = divide(groups, facts.evidence)
    judged = []
    for policy, numbers in groups:
        # What greylisting answered was for these recipients; who was not asked would be.
        parts: dict[tuple[object, ...], list[int]] = {}
        for number in numbers:
            parts.setdefault(answers.get(number, ()), []).append(number)
        for part in parts.values():
            evidence = [*concerning(facts.evidence, part), *answers.get(part[0], ())]
            verdict = decide(evidence, policy, outbound=outbound)
            judged.append(Judged(verdict, tuple(part), policy))
    return list(judged if facts.client.service == "lmtp" else for_one_reply(judged))
