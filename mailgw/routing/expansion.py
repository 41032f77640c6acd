"""Aliases, catch-alls and the postmaster, followed to the end once, when the configuration is read.

What comes out is a table of targets, so that a recipient in a session costs a look-up and can loop nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mailgw.config.errors import ConfigError
from mailgw.mail.address import Mailbox
from mailgw.routing.aliases import Alias
from mailgw.routing.interface import Target
from mailgw.routing.recipients import POSTMASTER, Key, OurDomain, Recipients

MAX_DEPTH = 32
MAX_TARGETS = 10000


class _Broken(Exception):
    """Following an address came to no good end; the text says why. It is empty when an error says so already."""


class Expansion:
    """Follows addresses of ours to their targets.

    `catch_alls` and `postmasters` hold, by domain, the address that stands in for what nobody knows, and for
    the postmaster where a domain has none.
    """

    def __init__(
        self,
        recipients: Recipients,
        aliases: Mapping[Key, Alias],
        domain_of: Callable[[Mailbox], OurDomain | None],
        outside: Callable[[Mailbox], Target],
        catch_alls: Mapping[str, Mailbox],
        postmasters: Mapping[str, Mailbox],
    ) -> None:
        self._recipients = recipients
        self._aliases = aliases
        self._domain_of = domain_of
        self._outside = outside
        self._catch_alls = catch_alls
        self._postmasters = postmasters
        self._done: dict[Key, tuple[Target, ...]] = {}
        self._broken: set[Key] = set()

    def expand_aliases(self, file: str) -> tuple[Mapping[Key, tuple[Target, ...]], list[ConfigError]]:
        """Follow every alias. Give the targets of those that are good, and what is wrong with the others."""
        errors = []
        for key, alias in self._aliases.items():
            try:
                self._expand_alias(key, ())
            except _Broken as broken:
                if str(broken):
                    errors.append(ConfigError(file, str(alias.mailbox), str(broken), alias.line))
        return self._done, errors

    def expand(self, mailbox: Mailbox) -> tuple[Target, ...] | str:
        """Follow an address that stands in for others; give its targets, or why it has none.

        Comes after `expand_aliases`, which says what is wrong with aliases.
        """
        try:
            return self._follow(mailbox, (), explicit=True)
        except _Broken as broken:
            return str(broken)

    def _follow(self, mailbox: Mailbox, path: tuple[Key, ...], *, explicit: bool = False) -> tuple[Target, ...]:
        """Follow one address; `explicit` wants it known by itself, not by the catch-all."""
        domain = self._domain_of(mailbox)
        if domain is None:
            return (self._outside(mailbox),)
        found = self._recipients.find(mailbox, domain)
        if isinstance(found, Target):
            return (found,)
        if found is not None:
            return self._own_mailbox(found, path) or self._expand_alias(found, path)
        substitute = self._catch_alls.get(domain.name)
        if substitute is None and self._recipients.is_postmaster(mailbox):
            substitute = self._postmasters.get(domain.name)
        if substitute is None or explicit:
            raise _Broken(f"{mailbox} is no mailbox here; add the user or the alias, or correct the name")
        return self._follow(substitute, path, explicit=True)

    def _own_mailbox(self, key: Key, path: tuple[Key, ...]) -> tuple[Target, ...]:
        """`alice: alice, bob` keeps a copy in alice's own mailbox: that is no loop."""
        user = self._recipients.users.get(key)
        return (user,) if user is not None and path and path[-1] == key else ()

    def _expand_alias(self, key: Key, path: tuple[Key, ...]) -> tuple[Target, ...]:
        if key in self._done:
            return self._done[key]
        if key in path:
            raise _Broken("a loop: " + " -> ".join("@".join(step) for step in (*path[path.index(key) :], key)))
        if len(path) >= MAX_DEPTH:
            raise _Broken(f"aliases are nested more than {MAX_DEPTH} deep")
        if key in self._broken and path:
            raise _Broken("")
        targets: dict[Key, Target] = {}
        try:
            for target in self._aliases[key].targets:
                for final in self._follow(target, (*path, key)):
                    # Local parts of others are compared as they are written (RFC 5321 2.4).
                    targets.setdefault((final.mailbox.local_part, final.mailbox.ascii_domain), final)
            if len(targets) > MAX_TARGETS:
                raise _Broken(f"it leads to more than {MAX_TARGETS} addresses")
        except _Broken:
            self._broken.add(key)
            raise
        self._done[key] = tuple(targets.values())
        return self._done[key]


def find_postmaster(domain: OurDomain, recipients: Recipients, domains: Iterable[OurDomain]) -> Mailbox | None:
    """Give who stands in for the postmaster of a domain with mailboxes here (RFC 5321 4.5.1).

    That is its own postmaster, else another domain's, else its first user, else the first user of all.
    """
    for candidate in (domain, *(other for other in domains if not other.destination)):
        mailbox = Mailbox(POSTMASTER, candidate.name)
        if recipients.find(mailbox, candidate) is not None:
            return mailbox
    users = [target.mailbox for target in recipients.users.values()]
    return next((mailbox for mailbox in users if mailbox.domain == domain.name), next(iter(users), None))
