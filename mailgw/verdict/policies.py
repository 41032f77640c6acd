"""Whose policy holds: that of the site, with what [recipients] and [users] of filters.toml change of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from mailgw.config.schema import Combination, FilterFile, Override
from mailgw.config.text import quote_key
from mailgw.mail.address import AddressError, Mailbox, ascii_domain
from mailgw.verdict.policy import Policy

Owners = Sequence[Mailbox]
"""The addresses that one recipient goes by: what the client said, and where it leads."""


class Policies:
    """A recipient's own section goes before that of its domain, which goes before what holds for the whole site; so
    for each key."""

    def __init__(
        self, site: Policy, recipients: Mapping[str, Override] = {}, users: Mapping[str, Override] = {}
    ) -> None:
        """The keys of the mappings are addresses or domains. Raises AddressError for what is neither."""
        self.site = site
        self._recipients = _merge(site, recipients, "recipients")
        self._users = _merge(site, users, "users")

    @classmethod
    def of(
        cls, file: FilterFile, weights: Mapping[str, float], combinations: Mapping[str, Combination] = {}
    ) -> Policies:
        """Make them from filters.toml; `weights` are those of all symbols, `combinations` those that hold."""
        return cls(Policy(weights, file.thresholds, file.rules, combinations), file.recipients, file.users)

    def of_user(self, identity: str) -> Policy:
        """The policy for what a user submits."""
        if not self._users:
            return self.site
        try:
            return self._find(self._users, [Mailbox.parse(identity)])
        except AddressError:
            return self.site

    def groups(self, recipients: Sequence[Owners]) -> list[tuple[Policy, tuple[int, ...]]]:
        """Give each policy that holds for some of the recipients, with their positions. Without recipients: the
        site's."""
        if not self._recipients or not recipients:
            return [(self.site, tuple(range(len(recipients))))]
        groups: dict[int, tuple[Policy, list[int]]] = {}
        for number, owners in enumerate(recipients):
            policy = self._find(self._recipients, owners)
            groups.setdefault(id(policy), (policy, []))[1].append(number)
        return [(policy, tuple(numbers)) for policy, numbers in groups.values()]

    def _find(self, policies: Mapping[str, Policy], owners: Owners) -> Policy:
        for key in (_address_key, _domain_key):
            for owner in owners:
                policy = policies.get(key(owner))
                if policy is not None:
                    return policy
        return self.site


def _merge(site: Policy, overrides: Mapping[str, Override], section: str) -> dict[str, Policy]:
    merged: dict[str, Policy] = {}
    for name in sorted(overrides, key=lambda name: "@" in name):  # the domains first: addresses build on them
        key = _key(name)
        base = merged.get(key.rpartition("@")[2], site)
        merged[key] = _changed(base, overrides[name], f"{section}.{quote_key(name)}")
    return merged


def _changed(policy: Policy, override: Override, section: str) -> Policy:
    keys: list[str] = []
    for part in ("thresholds", "scores", "rules"):
        keys += [f"{part}.{key}" for key in getattr(override, part)]
    thresholds: dict[str, Any] = dict(override.thresholds)
    return evolve(
        policy,
        weights={**policy.weights, **override.scores},
        thresholds=evolve(policy.thresholds, **thresholds),
        rules={**policy.rules, **override.rules},
        origins={**policy.origins, **dict.fromkeys(keys, section)},
    )


def _key(text: str) -> str:
    """Raises AddressError."""
    _, at, domain = text.rpartition("@")
    if not at:
        return ascii_domain(domain)
    return _address_key(Mailbox.parse(text))


def _address_key(mailbox: Mailbox) -> str:
    # Case does not count in local parts of ours (routing.recipients), and others' never stand here.
    return f"{mailbox.local_part.lower()}@{_domain_key(mailbox)}"


def _domain_key(mailbox: Mailbox) -> str:
    return mailbox.ascii_domain.removesuffix(".")
