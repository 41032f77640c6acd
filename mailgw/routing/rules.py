"""Which way mail to the outside takes: [relay.rules], the first that fits; else [relay] default."""

from __future__ import annotations

from attrs import frozen

from mailgw.config.schema import RelayRule, Settings
from mailgw.mail.address import AddressError, Mailbox
from mailgw.routing.interface import Origin
from mailgw.routing.pattern import Pattern


@frozen
class Rule:
    """A section of [relay.rules], ready to be asked. A pattern that is None fits all."""

    name: str
    via: str
    recipients: Pattern | None
    senders: Pattern | None
    users: Pattern | None

    @classmethod
    def of(cls, name: str, rule: RelayRule, separators: str) -> Rule:
        """Take it from the configuration. Raises AddressError."""
        recipients, senders, users = (
            Pattern.parse(texts, separators) if texts else None for texts in (rule.recipients, rule.senders, rule.users)
        )
        return cls(name, rule.via, recipients, senders, users)

    def fits(self, recipient: Mailbox, sender: Mailbox | None, user: Mailbox | None) -> bool:
        return (
            (self.recipients is None or self.recipients.fits(recipient))
            and (self.senders is None or self.senders.fits(sender))
            and (self.users is None or (user is not None and self.users.fits(user)))
        )


@frozen
class Way:
    """How mail leaves: `via` is `mx` or `route:NAME`; `rule` is the section that says so, empty for the default."""

    via: str
    rule: str = ""


class WaysOut:
    """Answers which way. The configuration may change while routers hold it."""

    def __init__(self, settings: Settings) -> None:
        self.become(settings)

    def become(self, settings: Settings) -> None:
        """Take the ways of a configuration that was checked."""
        relay, separators = settings.relay, settings.routing.separators
        self._default = Way(relay.default)
        self._rules = [Rule.of(name, rule, separators) for name, rule in relay.rules.items()]

    def way(self, recipient: Mailbox, origin: Origin) -> Way:
        """Say which way mail for an address outside goes. `origin` is as the next hop will see it."""
        user = _user(origin.user) if self._rules and origin.user else None
        for rule in self._rules:
            if rule.fits(recipient, origin.sender, user):
                return Way(rule.via, rule.name)
        return self._default


def _user(identity: str) -> Mailbox | None:
    try:
        return Mailbox.parse(identity)
    except AddressError:
        return None
