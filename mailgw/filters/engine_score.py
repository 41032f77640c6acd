"""How the score of another spam filter becomes evidence."""

from __future__ import annotations

from mailgw.engines.foreign import Judgement
from mailgw.mail.evidence import Evidence

FULL = (
    "The score of the engine that counts as its symbol's whole weight. A lower one counts in proportion, a negative one"
    " for the HAM symbol."
)


def evidence_of(judgement: Judgement, prefix: str, full: float, least: float = 0.0) -> list[Evidence]:
    """State PREFIX_SPAM or PREFIX_HAM, as strong as the score is of `full`; with `least` it is spam of that strength at
    least.

    Other engines see much of what our own filters see, so that their scores would count twice if they were added: one
    symbol bounds what one engine can do, and its weight says how much it is trusted.
    """
    strength = min(abs(judgement.score) / full, 1.0)
    spam = judgement.score > 0 or least > 0
    if least:
        strength = max(least, strength if judgement.score > 0 else 0.0)
    if not strength:
        return []
    limit = f" of {judgement.threshold:g}" if judgement.threshold else ""
    action = f" ({judgement.action})" if judgement.action else ""
    strongest = judgement.strongest()
    message = f", {judgement.message}" if judgement.message else ""
    detail = f"score {judgement.score:.2f}{limit}{action}{message}{': ' if strongest else ''}{strongest}"
    return [Evidence(f"{prefix}_{'SPAM' if spam else 'HAM'}", detail, round(strength, 3))]
