"""Where mail goes: folders here, a next hop by name, or the outside."""

from __future__ import annotations

from attrs import evolve

from mailgw.config.schema import Domain
from mailgw.mail.address import Mailbox
from mailgw.queue.item import Destination
from mailgw.routing.interface import Target
from mailgw.routing.recipients import canonical


def mailbox_target(mailbox: Mailbox) -> Target:
    """The folders of a user here; always the same ones, however the address is spelled."""
    mailbox = canonical(mailbox)
    return Target(mailbox, Destination("maildir", str(mailbox)))


def domain_destination(domain: Domain) -> Destination | None:
    """Where a domain of ours goes on to; None when its mailboxes are here."""
    return None if domain.deliver == "maildir" else Destination("relay", domain.deliver)


def outside_target(mailbox: Mailbox, default: str) -> Target:
    """A mailbox that is not ours: by its domain's MX, or by the smarthost (`relay.default`)."""
    if default == "mx":
        return Target(mailbox, Destination("relay", f"mx:{mailbox.ascii_domain}"))
    return Target(mailbox, Destination("relay", default))


def forward_target(mailbox: Mailbox, default: str) -> Target:
    """A mailbox outside that an address of ours leads to."""
    target = outside_target(mailbox, default)
    return evolve(target, destination=evolve(target.destination, agent="forward"))
