"""The router: from a forward-path to where its copies go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import evolve, frozen

from mailgw.mail.address import AddressError, Mailbox, ascii_domain
from mailgw.routing.interface import REPORT, Origin, Routed, Target, Unknown
from mailgw.routing.recipients import Key, OurDomain, RecipientList, Recipients
from mailgw.routing.routes import FORWARD, outside_target
from mailgw.routing.rules import WaysOut


@frozen
class DirectoryRouter:
    """Routes by users, aliases and domains as they were when it was built. Implements routing.interface.Router."""

    domains: Mapping[str, OurDomain]
    recipients: Recipients
    aliases: Mapping[Key, tuple[Target, ...]]
    """What each alias leads to in the end; which way that is outside, `ways` say."""
    catch_alls: Mapping[str, tuple[Target, ...]]
    postmasters: Mapping[str, tuple[Target, ...]]
    """By domain, for those that list no postmaster."""
    ways: WaysOut
    srs_domain: str
    """The domain of the return paths that forwarded mail goes under."""

    def is_ours(self, domain: str) -> bool:
        return self._domain(domain) is not None

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        domain = self._domain(mailbox.domain)
        if domain is None:
            if not mailbox.domain:
                return Unknown("the address has no domain")
            return Routed((outside_target(mailbox, self.ways.way(mailbox, origin)),), ours=False)
        found = self.recipients.find(mailbox, domain)
        if isinstance(found, Target):
            # RFC 5321 4.5.1: mail for the postmaster is taken without a question.
            ask = domain.call_ahead and not self.recipients.is_postmaster(mailbox)
            by: Literal["domain", "mailbox"] = "domain" if domain.destination else "mailbox"
            return Routed((found,), ours=True, undecided="call_ahead" if ask else "", by=by)
        if found is not None:
            return Routed(self._forwarded(self.aliases[found], origin), ours=True, by="alias")
        if domain.destination and isinstance(domain.recipients, RecipientList) and domain.recipients.names is None:
            return Routed((Target(mailbox, domain.destination),), ours=True, undecided="list", by="domain")
        if self.recipients.has_routing(mailbox):
            return Unknown(f"routing in the local part of {mailbox} is not followed, and nobody has that name")
        targets = self.catch_alls.get(domain.name)
        if targets is not None:
            return Routed(self._forwarded(targets, origin), ours=True, by="catch_all")
        # RFC 5321 4.5.1: mail for the postmaster is taken, whoever reads it.
        if self.recipients.is_postmaster(mailbox):
            targets = self.postmasters.get(domain.name)
        if targets is None:
            return Unknown(f"no user, no alias and no catch-all for {mailbox}")
        return Routed(self._forwarded(targets, origin), ours=True, by="postmaster")

    def _forwarded(self, targets: tuple[Target, ...], origin: Origin) -> tuple[Target, ...]:
        """Give targets with the way out for those outside."""
        if not any(target.outside for target in targets):
            return targets
        return tuple(self.forward(target.mailbox, origin) if target.outside else target for target in targets)

    def forward(self, mailbox: Mailbox, origin: Origin) -> Target:
        """Say where mail goes that an address of ours leads to a mailbox outside. The rules see the return path that
        the next hop will see."""
        if origin.sender is not None and not self.is_ours(origin.sender.domain):
            origin = evolve(origin, sender=Mailbox("SRS0", self.srs_domain))
        return outside_target(mailbox, self.ways.way(mailbox, origin), FORWARD)

    def _domain(self, domain: str) -> OurDomain | None:
        try:
            # A trailing dot is the same name in DNS, and must not turn our mail into mail for the outside.
            return self.domains.get(ascii_domain(domain).removesuffix("."))
        except AddressError:
            return None
