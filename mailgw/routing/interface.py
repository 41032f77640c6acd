"""What reception and delivery see of routing."""

from __future__ import annotations

from typing import Literal, Protocol

from attrs import frozen

from mailgw.mail.address import Mailbox
from mailgw.queue.item import Destination


@frozen
class Origin:
    """Whose mail it is: the reverse-path, None for the null one, and the user who submitted it, or nobody.

    As it stands it is that of our own reports."""

    sender: Mailbox | None = None
    user: str = ""


REPORT = Origin()


@frozen
class Target:
    """Where a copy goes: the final address (aliases applied) and the destination, folder not yet chosen.

    `outside` is whether [relay] chose the destination, and `rule` by which of [relay.rules]: empty, by its default.
    """

    mailbox: Mailbox
    destination: Destination
    outside: bool = False
    rule: str = ""


@frozen
class Routed:
    """The forward-path leads to `targets`. `ours` is whether its domain is one of our domains.

    `by` is what leads there: a mailbox here, an alias, the catch-all, whoever stands in for the postmaster, the route
    of a domain of ours, or that it is outside. `undecided` says why nobody here knows yet whether it exists:
    `call_ahead`, the next hop is to be asked (see RecipientVerifier); `list`, the first list of the domain's recipients
    is not there yet. Else it is good.
    """

    targets: tuple[Target, ...]
    ours: bool
    undecided: Literal["", "call_ahead", "list"] = ""
    reports_only: bool = False
    """Whether it takes mail of the null reverse-path alone: a return path of forwarded mail."""
    by: Literal["mailbox", "alias", "catch_all", "postmaster", "domain", "outside"] = "outside"


@frozen
class Unknown:
    """The domain is ours and has no such mailbox. `reason` is for the log."""

    reason: str


class Router(Protocol):
    def is_ours(self, domain: str) -> bool:
        """Whether the domain (any spelling) is one of ours."""
        ...

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        """Say where a forward-path leads. A domain that is not ours leads to the outside (`ours` False), by the way
        that [relay] has for mail of that origin."""
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
