"""Where mail goes: folders here, a next hop by name, or the outside."""

from __future__ import annotations

from mailgw.config.schema import Domain
from mailgw.mail.address import Mailbox
from mailgw.queue.item import Destination
from mailgw.routing.interface import Target
from mailgw.routing.recipients import canonical
from mailgw.routing.rules import Way

RELAY = "relay"
FORWARD = "forward"
"""The agent for a mailbox outside that an address of ours leads to."""


def mailbox_target(mailbox: Mailbox) -> Target:
    """The folders of a user here; always the same ones, however the address is spelled."""
    mailbox = canonical(mailbox)
    return Target(mailbox, Destination("maildir", str(mailbox)))


def domain_destination(domain: Domain) -> Destination | None:
    """Where a domain of ours goes on to; None when its mailboxes are here."""
    return None if domain.deliver == "maildir" else Destination(RELAY, domain.deliver)


def outside_target(mailbox: Mailbox, way: Way, agent: str = RELAY) -> Target:
    """A mailbox that is not ours: by its domain's MX, or by a smarthost."""
    via = f"mx:{mailbox.ascii_domain}" if way.via == "mx" else way.via
    return Target(mailbox, Destination(agent, via), outside=True, rule=way.rule)
