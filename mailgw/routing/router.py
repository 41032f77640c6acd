"""The router: from a forward-path to where its copies go."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from mailgw.mail.address import AddressError, Mailbox, ascii_domain
from mailgw.routing.interface import Routed, Target, Unknown
from mailgw.routing.recipients import Key, OurDomain, RecipientList, Recipients
from mailgw.routing.routes import outside_target


@frozen
class DirectoryRouter:
    """Routes by users, aliases and domains as they were when it was built. Implements routing.interface.Router."""

    domains: Mapping[str, OurDomain]
    recipients: Recipients
    aliases: Mapping[Key, tuple[Target, ...]]
    """What each alias leads to in the end."""
    catch_alls: Mapping[str, tuple[Target, ...]]
    postmasters: Mapping[str, tuple[Target, ...]]
    """By domain, for those that list no postmaster."""
    relay_default: str

    def is_ours(self, domain: str) -> bool:
        return self._domain(domain) is not None

    def resolve(self, mailbox: Mailbox) -> Routed | Unknown:
        domain = self._domain(mailbox.domain)
        if domain is None:
            if not mailbox.domain:
                return Unknown("the address has no domain")
            return Routed((outside_target(mailbox, self.relay_default),), ours=False)
        found = self.recipients.find(mailbox, domain)
        if isinstance(found, Target):
            # RFC 5321 4.5.1: mail for the postmaster is taken without a question.
            ask = domain.call_ahead and not self.recipients.is_postmaster(mailbox)
            return Routed((found,), ours=True, undecided="call_ahead" if ask else "")
        if found is not None:
            return Routed(self.aliases[found], ours=True)
        if domain.destination and isinstance(domain.recipients, RecipientList) and domain.recipients.names is None:
            return Routed((Target(mailbox, domain.destination),), ours=True, undecided="list")
        if self.recipients.has_routing(mailbox):
            return Unknown(f"routing in the local part of {mailbox} is not followed, and nobody has that name")
        targets = self.catch_alls.get(domain.name)
        # RFC 5321 4.5.1: mail for the postmaster is taken, whoever reads it.
        if targets is None and self.recipients.is_postmaster(mailbox):
            targets = self.postmasters.get(domain.name)
        if targets is None:
            return Unknown(f"no user, no alias and no catch-all for {mailbox}")
        return Routed(targets, ours=True)

    def _domain(self, domain: str) -> OurDomain | None:
        try:
            # A trailing dot is the same name in DNS, and must not turn our mail into mail for the outside.
            return self.domains.get(ascii_domain(domain).removesuffix("."))
        except AddressError:
            return None
