"""What reception and delivery see of routing."""

from __future__ import annotations

from typing import Literal, Protocol

from attrs import frozen

from mailgw.mail.address import Mailbox
from mailgw.queue.item import Destination


@frozen
class Target:
    """Where a copy goes: the final address (aliases applied) and the destination, folder not yet chosen."""

    mailbox: Mailbox
    destination: Destination


@frozen
class Routed:
    """The forward-path leads to `targets`. `ours` is whether its domain is one of our domains.

    `undecided` says why nobody here knows yet whether it exists: `call_ahead`, the next hop is to be asked (see
    RecipientVerifier); `list`, the first list of the domain's recipients is not there yet. Else it is good.
    """

    targets: tuple[Target, ...]
    ours: bool
    undecided: Literal["", "call_ahead", "list"] = ""
    reports_only: bool = False
    """Whether it takes mail of the null reverse-path alone: a return path of forwarded mail."""


@frozen
class Unknown:
    """The domain is ours and has no such mailbox. `reason` is for the log."""

    reason: str


class Router(Protocol):
    def is_ours(self, domain: str) -> bool:
        """Whether the domain (any spelling) is one of ours."""
        ...

    def resolve(self, mailbox: Mailbox) -> Routed | Unknown:
        """Say where a forward-path leads. A domain that is not ours leads to the outside (`ours` False)."""
        ...


@frozen
class Verification:
    """What a next hop says of a recipient: `known` is whether it takes it, or None when it could not say now.

    `status` is of RFC 3463 where it takes none, `reason` is for the log.
    """

    known: bool | None
    status: str = ""
    reason: str = ""


class RecipientVerifier(Protocol):
    async def verify(self, target: Target) -> Verification:
        """Ask the next hop of a target whether it takes its mailbox. Never raises; ends within a time limit."""
        ...
