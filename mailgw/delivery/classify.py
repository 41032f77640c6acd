"""From replies and broken sessions to outcomes."""

from __future__ import annotations

import re

from attrs import frozen

from mailgw.delivery.causes import TOO_MUCH
from mailgw.mail.reply import Reply
from mailgw.mail.tlsresult import FailureType
from mailgw.queue.item import Delayed, Delivered, Failed, Outcome

_REFUSED = {
    "MAIL": "the sender was refused",
    "RCPT": "the recipient was refused",
    "DATA": "the message was refused unseen",
    "end of data": "the message was refused",
}
# Narrower than the class `rate_limited` of a report: a site is left alone for it. Greylisting has other words.
_SLOW_DOWN = re.compile(TOO_MUCH, re.IGNORECASE)
_TOO_MANY = re.compile(r"too many.{0,20}recipient", re.IGNORECASE)


class Unreachable(Exception):
    """There is no session to be had: no host, no connection, or one that ended before a message was sent over it.

    `outcome` says why, for all recipients. `handshake` is True when it broke in the TLS handshake: without a policy
    that wants TLS, clear text may work. `insecure` is True when the host has not the TLS that was wanted: none, or
    none that works, or no certificate that proves its name. `failure` is what was wrong with its TLS. `no_way` is True
    when nothing was tried: no way leads from here to that address.
    """

    def __init__(
        self,
        outcome: Delayed | Failed,
        *,
        failure: FailureType | None = None,
        handshake: bool = False,
        insecure: bool = False,
        no_way: bool = False,
    ) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome
        self.failure = failure
        self.handshake = handshake
        self.insecure = insecure
        self.no_way = no_way


@frozen
class Peer:
    """Who is at the other end of a session."""

    name: str
    address: str

    def __str__(self) -> str:
        return self.name if self.name == self.address else f"{self.name} [{self.address}]"


def outcome_of(reply: Reply, command: str, peer: str, detail: str = "") -> Outcome:
    """Say what a reply to a command of the transaction means for its recipient.

    The code decides, not the enhanced status (RFC 3463 2): a status of another class is not believed.
    `detail` goes with a delivery, for the log.
    """
    if reply.code < 300:
        return Delivered(f"{reply}{detail}", peer)
    refused = _REFUSED.get(command, f"{command} was refused")
    if reply.code == 421:
        return Delayed(_status(reply, "4.3.2"), "the session was ended", peer, reply, site_wide=True)
    if reply.temporary and _is_slow_down(reply):
        return Delayed(_status(reply, "4.7.0"), "it takes no more from us for now", peer, reply, site_wide=True)
    if reply.temporary:
        return Delayed(_status(reply, "4.0.0"), f"{refused} for now", peer, reply)
    if is_too_many_recipients(reply, command):
        return Delayed("4.5.3", f"{refused} for now", peer, reply)
    return Failed(_status(reply, _PERMANENT.get(reply.code, "5.0.0")), refused, peer, reply)


def _is_slow_down(reply: Reply) -> bool:
    """Whether a refusal is about how much we send, whatever the message and the recipient: then the others wait too.

    A mailbox that gets too much (X.2.x) is that recipient's matter, and 452 a full transaction or disk.
    """
    if reply.code == 452 or reply.status.startswith("4.2."):
        return False
    return reply.status == "4.7.28" or bool(_SLOW_DOWN.search(reply.text))


def is_too_many_recipients(reply: Reply, command: str) -> bool:
    """Whether the reply to RCPT says that the transaction is full: the others may go in another.

    RFC 5321 4.5.3.1.10: 452, and the 552 of old servers is to be taken for it.
    """
    if command != "RCPT" or reply.code not in (452, 552):
        return False
    return reply.status in ("4.5.3", "5.5.3") or bool(_TOO_MANY.search(reply.text))


def greeting_refused(reply: Reply, peer: str) -> Delayed | Failed:
    """Say what a greeting other than 220, or a refusal of EHLO, means.

    It is about the session, not the message, so a 5yz is for this host only (RFC 5321 3.1) and a later try may do;
    but 521 says that the host takes no mail at all (RFC 7504 3).
    """
    reason = "the session was refused"
    if reply.code == 521:
        return Failed(_status(reply, "5.3.2"), reason, peer, reply)
    return Delayed("4.3.2" if not reply.temporary else _status(reply, "4.3.2"), reason, peer, reply, site_wide=True)


def _status(reply: Reply, otherwise: str) -> str:
    return reply.status if reply.status[:1] == str(reply.code)[:1] else otherwise


# RFC 7504 4 for 556. The other codes are too general: what they mean stands in the enhanced status or nowhere.
_PERMANENT = {556: "5.1.10"}
