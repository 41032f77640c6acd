"""What stands in the queue: messages, one delivery a recipient, and what became of an attempt."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from attrs import frozen

from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import Message
from mailgw.mail.reply import Reply
from mailgw.mail.verdict import Verdict

DeliveryId = tuple[str, int]
"""The message's id and the delivery's number in it, from 0."""


ANY_TLS = "mx-any-tls"


@frozen
class Destination:
    """Where a delivery goes. As text `agent:target` or `agent:target/folder`: stable, it stands in the database.

    `agent` names the delivery agent (`maildir`, `relay`, `forward`, `alias`, `quarantine`, `withdrawn`). `target`
    is the mailbox's address for `maildir` (`alice@example.org`); for `relay` and `forward` it is `mx:DOMAIN` (for
    reports on TLS `mx-any-tls:DOMAIN`: they wait behind nothing that TLS is in the way of) or `route:NAME` (a
    [routes.NAME] of the configuration, looked up at each attempt so that a changed route is taken); for `alias` it
    is an address that was expanded, about which only a report is due; for `quarantine` it is where the mail goes
    when it is released (`quarantine:maildir:alice@example.org/inbox`), for `withdrawn` where it went until then.
    `folder` is `inbox` or `spam` for a folder.
    """

    agent: str
    target: str
    folder: Literal["", "inbox", "spam"] = ""

    def __str__(self) -> str:
        return f"{self.agent}:{self.target}/{self.folder}" if self.folder else f"{self.agent}:{self.target}"

    @classmethod
    def parse(cls, text: str) -> Destination:
        agent, _, target = text.partition(":")
        if target.endswith("/inbox"):
            return cls(agent, target.removesuffix("/inbox"), "inbox")
        if target.endswith("/spam"):
            return cls(agent, target.removesuffix("/spam"), "spam")
        return cls(agent, target)


Origin = Literal["mx", "submission", "lmtp", "report"]


class Priority(IntEnum):
    """Who goes first, at a site and where something is short."""

    PEOPLE = 0
    BULK = 1
    """What was sent to many, and reports."""


@frozen
class QueuedMessage:
    """A message in the queue. Its envelope holds every recipient that was accepted."""

    id: str
    envelope: Envelope
    message: Message
    received: float
    """Wall clock, seconds."""
    origin: Origin
    session_id: str = ""
    identity: str = ""
    """The authenticated user that submitted it, else empty."""
    verdict: Verdict | None = None
    author_domain: str = ""
    """The domain in From, in A-labels, where it may be signed for: mail of a user whose every address there
    is his own, and our reports. Else empty."""


@frozen
class Delivery:
    """One recipient's way out of the queue. Times are wall clock seconds."""

    message_id: str
    number: int
    recipient: Recipient
    destination: Destination
    due: float
    expires: float
    attempts: int = 0
    last: str = ""
    """What the last attempt said, for people."""
    priority: Priority = Priority.PEOPLE

    @property
    def id(self) -> DeliveryId:
        return (self.message_id, self.number)


@frozen
class Delivered:
    """Settled for good. `detail` says where (a folder, or the remote's reply); `remote` names the peer.

    `action` is what a report about it says (RFC 3464 2.3.3), to a sender who asked for NOTIFY=SUCCESS: in a folder
    it is `delivered`; with a next hop that does not know DSN, `relayed`; behind an alias, `expanded`. It is empty
    when the next hop has taken over to report (RFC 3461 5.2.2).
    """

    detail: str
    remote: str = ""
    action: Literal["", "delivered", "relayed", "expanded"] = ""


@frozen
class Delayed:
    """Try again later (RFC 3464 2.3.3 calls it so; the design's `Deferred` is Twisted's name for something else).

    `status` is the enhanced status (4.x.x); `reason` is in plain words; `reply` is what the remote said, if it
    said something. `site_wide` means that the trouble is the site's, not the message's: others wait too.
    """

    status: str
    reason: str
    remote: str = ""
    reply: Reply | None = None
    site_wide: bool = False


@frozen
class Failed:
    """Will never work: the sender is told. Fields as in Delayed, `status` 5.x.x."""

    status: str
    reason: str
    remote: str = ""
    reply: Reply | None = None


@frozen
class Discarded:
    """Thrown away on purpose; nobody is told but the log."""

    detail: str


Reportable = Delivered | Delayed | Failed
"""What a sender may be told."""

Outcome = Reportable | Discarded
