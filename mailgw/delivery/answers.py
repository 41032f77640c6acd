"""What next hops said about recipients: kept, and what their replies mean."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from mailgw.mail.reply import Reply
from mailgw.routing.interface import Target, Verification

# A yes is asked for again after hours; while the next hop cannot be asked, it counts for days.
YES_TIME = 4 * 3600.0
STALE_YES_TIME = 7 * 86400.0
# A new mailbox takes mail that soon.
NO_TIME = 300.0
# Apart, so that a stranger who tries names cannot push out who is known.
MAX_YES = 50_000
MAX_NO = 10_000

MAX_REASON = 300
_YES = Verification(True)


class Answers:
    """A bounded cache; the answer that was given first goes first."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._yes: dict[Target, float] = {}
        self._no: dict[Target, tuple[float, Verification]] = {}

    def fresh(self, target: Target) -> Verification | None:
        """Give what may be said without asking."""
        now = self._clock.seconds()
        given = self._yes.get(target)
        if given is not None and now - given < YES_TIME:
            return _YES
        refused = self._no.get(target)
        if refused is None:
            return None
        if now - refused[0] < NO_TIME:
            return refused[1]
        del self._no[target]
        return None

    def was_good(self, target: Target) -> bool:
        """Whether the last answer was yes, a few days ago at most."""
        given = self._yes.get(target)
        return given is not None and self._clock.seconds() - given < STALE_YES_TIME

    def keep(self, target: Target, verification: Verification) -> None:
        """Keep a new answer in place of the one before."""
        self._yes.pop(target, None)
        self._no.pop(target, None)
        if verification.known:
            self._yes[target] = self._clock.seconds()
            if len(self._yes) > MAX_YES:
                del self._yes[next(iter(self._yes))]
        else:
            self._no[target] = (self._clock.seconds(), verification)
            if len(self._no) > MAX_NO:
                del self._no[next(iter(self._no))]


def verification_of(reply: Reply, peer: str) -> Verification:
    """Say what a reply to RCPT means; `known` is None where it is not about the recipient, or only for now.

    A refusal that is about us (5.7.z: relaying, access) or about the null reverse-path is trouble with the next
    hop's configuration. As it may be mended, no sender is told that the mailbox does not exist.
    """
    reason = f"{peer} said: {reply}"[:MAX_REASON]
    if reply.code < 300:
        return _YES
    if not reply.permanent:
        return Verification(None, "", reason)
    status = reply.status if reply.status[:2] == "5." and reply.status != "5.0.0" else _STATUSES.get(reply.code, "")
    if status in _ABOUT_SENDER:
        return Verification(None, "", reason)
    if status.startswith("5.1.") or status == "5.4.1":  # the latter is what Exchange Online says of unknown ones
        return Verification(False, "5.1.1", reason)
    if status.startswith(("5.2.", "5.6.")):
        return Verification(False, status, reason)
    return Verification(None, "", reason)


# What the codes mean without a status (RFC 5321 4.2.2, RFC 7504 4). 554 says too little.
_STATUSES = {550: "5.1.1", 551: "5.1.6", 552: "5.2.2", 553: "5.1.3", 556: "5.1.10"}
# RFC 3463 3.2, RFC 7505 4.2: bad sender's address, its system, its null MX.
_ABOUT_SENDER = frozenset({"5.1.7", "5.1.8"})
