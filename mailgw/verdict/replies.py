"""What a client is told of a verdict that does not take its message."""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import evolve

from mailgw.mail.reply import Reply
from mailgw.mail.verdict import Action

# Refusals that say more than others, by the symbol whose hard rule decided. RFC 9989 7.2 and RFC 7208 8.4: a legitimate
# sender must see that it is DMARC or SPF, and a spammer learns only what the domain has published. The status codes are
# from RFC 7372 3.2 and 3.4.
_DMARC = Reply(550, "5.7.26", ("Message refused by the DMARC policy of its From domain",))
_SPF = Reply(550, "5.7.23", ("Message refused: the sender's domain does not allow this client (SPF)",))
_REFUSALS: Mapping[str, Reply] = {"DMARC_FAIL_REJECT": _DMARC, "DMARC_FAIL_QUARANTINE": _DMARC, "SPF_FAIL": _SPF}

_WAIT = 300.0
"""Seconds that greylisting names where it says nothing else."""


def make_reply(action: Action, reference: str, rule: str = "", *, wait: float = _WAIT) -> Reply | None:
    """Give what the client is told, or None when it gets its 250. But for DMARC and SPF (`rule` is the symbol whose
    hard rule decided), it never says which check it was: that would teach a spammer; the reference leads the
    postmaster to every line (features 4.11). `wait` is for greylisting, in seconds."""
    suffix = f" (ref {reference})" if reference else ""
    if action == "reject" and rule in _REFUSALS:
        refusal = _REFUSALS[rule]
        return evolve(refusal, lines=(f"{refusal.lines[0]}{suffix}",))
    if action == "reject":
        return Reply(554, "5.7.1", (f"Message refused by the mail policy of this site{suffix}",))
    if action == "greylist":
        minutes = max(1, math.ceil(wait / 60))
        unit = "minute" if minutes == 1 else "minutes"
        return Reply(451, "4.7.1", (f"Greylisted, please try again in {minutes} {unit}{suffix}",))
    if action == "defer":
        return Reply(451, "4.7.1", (f"Message cannot be judged now, please try again later{suffix}",))
    return None
