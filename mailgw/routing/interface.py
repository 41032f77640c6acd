"""What reception and delivery see of routing."""

from __future__ import annotations

from typing import Protocol

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
    """The forward-path is good. `ours` is whether its domain is one of our domains."""

    targets: tuple[Target, ...]
    ours: bool


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
