"""A verdict: what is to be done with a message, with every line that led to it."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from mailgw.mail.reply import Reply

Action = Literal["inbox", "spam", "hold", "greylist", "reject", "defer", "discard"]
"""`hold`: kept in quarantine; `greylist`: the client has to come again, since it is not known yet; `defer`: it cannot
be judged now; `discard`: taken and thrown away."""


@frozen
class VerdictLine:
    """One piece of evidence with its weight and the sum up to it; a hard rule is a line with `rule` set."""

    symbol: str
    detail: str
    source: str
    weight: float
    strength: float
    points: float
    """weight x strength: what this line adds."""
    total: float
    """The sum with this line."""
    rule: str = ""
    """For a line that decided by itself, what it did: `reject`, `defer`, ..."""


@frozen
class Verdict:
    """`score` is the sum of the lines' points; `reason` says the decision in one sentence; `reply` is what the
    client gets when the action is reject, defer or greylist."""

    action: Action
    score: float
    lines: tuple[VerdictLine, ...]
    reason: str
    reply: Reply | None = None
